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
