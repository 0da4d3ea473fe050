#![forbid(unsafe_code)]
//! The words of `wxc image`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Image {
    /// List the images of this directory of containers
    List {
        #[arg(long)]
        json: bool,
    },
    /// Get an image before there is a container of it
    Pull {
        /// Template plugin that chooses it
        #[arg(short, long, value_name = "TEMPLATE", default_value = "download")]
        template: String,
        /// Storage plugin that will keep its containers [default: as for wxc create]
        #[arg(short = 'B', long = "storage", alias = "bdev", value_name = "STORAGE")]
        storage: Option<String>,
        /// For containers whose root is root of the host
        #[arg(long)]
        privileged: bool,
        /// Also if it is older than one that was used before
        #[arg(long)]
        allow_older: bool,
        #[arg(long)]
        json: bool,
        /// Options of the template
        #[arg(last = true, value_name = "TEMPLATE OPTIONS")]
        options: Vec<String>,
    },
    /// Show what is known of an image
    Info {
        /// Its key, or enough of the beginning to know it by
        image: String,
        #[arg(long)]
        json: bool,
    },
    /// Remove an image that no container is built on
    Remove {
        /// Its key, or enough of the beginning to know it by
        image: String,
    },
    /// Remove all images that no container is built on, and what was downloaded
    Prune {
        #[arg(long)]
        json: bool,
    },
}
