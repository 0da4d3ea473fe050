#![forbid(unsafe_code)]
//! The words of `wxc image`.

use std::path::PathBuf;

use clap::Subcommand;

use super::transfer::Packing;

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
        /// Also if it is older than one that was used before, or out of date
        #[arg(long)]
        allow_older: bool,
        /// Give it this name, which may mean another image now
        #[arg(long, value_name = "NAME")]
        alias: Option<String>,
        #[arg(long)]
        json: bool,
        /// Options of the template
        #[arg(last = true, value_name = "TEMPLATE OPTIONS")]
        options: Vec<String>,
    },
    /// Show what is known of an image
    Info {
        /// Its name, or its key, or enough of the beginning to know it by
        image: String,
        #[arg(long)]
        json: bool,
    },
    /// Remove an image that no container is built on
    Remove {
        /// Its name, or its key, or enough of the beginning to know it by
        image: String,
    },
    /// Ask servers for newer builds, which get the names of the old ones
    Refresh {
        /// Images by name or key [default: all]
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
        /// Also to an older build, or one that is out of date
        #[arg(long)]
        allow_older: bool,
        #[arg(long)]
        json: bool,
    },
    /// Give an image a name, or take it away
    Alias {
        /// The name
        name: String,
        /// The image: another name of it, or its key
        #[arg(required_unless_present = "delete", conflicts_with = "delete")]
        image: Option<String>,
        /// Take the name away; the image stays
        #[arg(short, long)]
        delete: bool,
    },
    /// Write an image to one file, or to standard output
    Export {
        /// Its name, or its key, or enough of the beginning to know it by
        image: String,
        /// The file; - or nothing for standard output
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// How it is compressed [default: by the file's name: .tar, .gz, .xz, everything else zstd]
        #[arg(long, value_enum, value_name = "HOW")]
        compression: Option<Packing>,
        /// Replace a file that is there
        #[arg(short, long)]
        force: bool,
        /// Print what was written as JSON; not with the export itself on standard output
        #[arg(long)]
        json: bool,
    },
    /// Make an image of a file: of one that export wrote, or of an archive with a root file system
    Import {
        /// The file
        file: PathBuf,
        /// The root that belongs to it, where the file has nothing but metadata (meta.tar.xz, incus.tar.xz)
        #[arg(value_name = "ROOTFS")]
        root: Option<PathBuf>,
        /// Give it this name, which may mean another image now
        #[arg(long, value_name = "NAME")]
        alias: Option<String>,
        /// Storage plugin that will keep its containers [default: as for wxc create]
        #[arg(short = 'B', long = "storage", alias = "bdev", value_name = "STORAGE")]
        storage: Option<String>,
        /// Where in an archive the root is [default: rootfs for images of Incus and LXD, else its top]
        #[arg(long, value_name = "DIR")]
        prefix: Option<String>,
        /// An archive becomes an image for containers whose root is root of the host
        #[arg(long)]
        privileged: bool,
        #[arg(long)]
        json: bool,
    },
    /// Remove all images that no container is built on and that have no name, and what was downloaded
    Prune {
        /// Those with a name, too
        #[arg(short, long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
}
