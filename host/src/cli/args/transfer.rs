//! The words of `wxc export` and `wxc import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Packing {
    None,
    Zstd,
    Gzip,
    Xz,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wxc export web web.tar.zst            the container with its snapshots\n  wxc export web@before web.tar.zst     one snapshot, as a container\n  wxc export web | ssh HOST wxc import  to another machine\n\nA container that runs is read from a snapshot where its storage takes them, and frozen otherwise."
)]
pub struct Export {
    /// The container, or one of its snapshots
    #[arg(value_name = "NAME[@SNAPSHOT]", required_unless_present = "name_option")]
    pub words: Vec<String>,
    /// Name of the container, as an option
    #[arg(short = 'n', long = "name", id = "name_option", value_name = "NAME[@SNAPSHOT]")]
    pub name_option: Option<String>,
    /// Without its snapshots
    #[arg(long)]
    pub no_snapshots: bool,
    /// How it is compressed [default: by the file's name: .tar, .gz, .xz, everything else zstd]
    #[arg(long, value_enum, value_name = "HOW")]
    pub compression: Option<Packing>,
    /// Replace a file that is there
    #[arg(short, long)]
    pub force: bool,
    /// Print what was written as JSON; not with the export itself on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wxc import web.tar.zst                 under its own name\n  wxc import web.tar.zst web2 -B btrfs   under another, on another storage\n  ssh HOST wxc export web | wxc import\n\nA file may come from anybody: what its configuration wants of this host (mounts, networks, privilege, a start at boot) is left out and named, unless you say --trust-config."
)]
pub struct Import {
    /// The file; - or nothing for standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Name of the container [default: the name in the file]
    #[arg(value_name = "NAME", conflicts_with = "name_option")]
    pub name: Option<String>,
    /// Name of the container, as an option
    #[arg(short = 'n', long = "name", id = "name_option", value_name = "NAME")]
    pub name_option: Option<String>,
    /// Storage plugin that keeps it: dir, overlay, btrfs, ... or best [default: as for a new container]
    #[arg(short = 'B', long = "storage", alias = "bdev", value_name = "STORAGE")]
    pub storage: Option<String>,
    /// Set a setting of the storage plugin for this container; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub storage_set: Vec<String>,
    /// The most it may take up, e.g. 20G, where the storage sets limits [default: as where it was]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Set a key of the configuration; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Take the configuration as it is, with everything that it wants of this host
    #[arg(long)]
    pub trust_config: bool,
    /// Give it another machine id and other hardware addresses, as a copy has them
    #[arg(long)]
    pub new_identity: bool,
    /// Without the snapshots in the file
    #[arg(long)]
    pub no_snapshots: bool,
    /// Print what was made as JSON
    #[arg(long)]
    pub json: bool,
}
