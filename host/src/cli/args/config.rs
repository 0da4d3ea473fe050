#![forbid(unsafe_code)]
//! The words of `wxc config`.

use clap::Subcommand;

use super::{One, Target};

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print the configuration
    Show {
        #[command(flatten)]
        target: Target,
        /// With every default
        #[arg(short, long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// Print the value of a key
    Get {
        /// Name of the container
        name: String,
        /// Dotted key, e.g. cgroup.memory.max
        key: String,
        #[arg(long)]
        json: bool,
    },
    /// Set a key
    Set {
        /// Name of the container
        name: String,
        /// Dotted key, e.g. cgroup.memory.max
        key: String,
        /// Its value; lists as a TOML array
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove a key, so that its default holds
    Unset {
        /// Name of the container
        name: String,
        /// Dotted key, e.g. cgroup.memory.max
        key: String,
    },
    /// Open the configuration in an editor; it is saved only when it is valid
    Edit(One),
    /// Check the configuration
    Validate(One),
    /// List every key with its default and meaning
    Keys {
        #[arg(long)]
        json: bool,
    },
}
