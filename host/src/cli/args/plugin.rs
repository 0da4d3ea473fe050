#![forbid(unsafe_code)]
//! `wxc plugin` as types.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

#[derive(Debug, clap::Args)]
pub struct PluginTest {
    /// The component, or the name of a plugin
    pub plugin: String,
    /// Directory to make the scratch pool in, on the file system to be tried [default: /var/tmp]
    #[arg(long, value_name = "DIR")]
    pub pool: Option<PathBuf>,
    /// Only this case; may be given several times
    #[arg(long, value_name = "NAME")]
    pub case: Vec<String>,
    /// Set a setting of the plugin
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Let it run the programs that it declares
    #[arg(long)]
    pub grant: bool,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct PluginNew {
    /// Its name; `policy` of a hook means hook-policy
    pub name: String,
    /// What it is for
    #[arg(long)]
    pub kind: NewKind,
    /// What it is written in
    #[arg(long, value_name = "LANGUAGE")]
    pub lang: NewLanguage,
    /// Where to make it, new or empty [default: a directory of its name]
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// What a plugin can be for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum NewKind {
    /// Where root file systems live
    Storage,
    /// Where root file systems come from
    Template,
    /// What happens around a container's life
    Hook,
}

/// What a plugin can be written in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum NewLanguage {
    Rust,
    C,
    Go,
    Python,
    #[value(alias = "javascript")]
    Js,
}

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// List the plugins that can be used
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show what a plugin can do and everything it can ever touch
    Show {
        /// Name of the plugin
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Install a plugin from a component file
    Install {
        /// The component
        file: PathBuf,
        /// Also grant everything it asks for
        #[arg(long)]
        grant: bool,
    },
    /// Grant what an installed plugin asks for
    Grant {
        /// Name of the plugin
        name: String,
        /// Permissions as `plugin show` names them [default: all that it asks for]
        permissions: Vec<String>,
    },
    /// Take grants back
    Revoke {
        /// Name of the plugin
        name: String,
        /// Permissions as `plugin show` names them [default: all]
        permissions: Vec<String>,
    },
    /// Remove an installed plugin and its grants
    Remove {
        /// Name of the plugin
        name: String,
        /// Also when it keeps containers, which then cannot be used until it is back
        #[arg(short, long)]
        force: bool,
    },
    /// Make a directory with a plugin that can be built at once, to begin with
    New(PluginNew),
    /// Make the file that is installed, of what a toolchain built and a manifest
    Pack {
        /// The core module or component
        built: PathBuf,
        /// The manifest
        #[arg(long, value_name = "FILE", default_value = "plugin.toml")]
        manifest: PathBuf,
        /// Where to write it [default: NAME.wasm, of the manifest's name]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Try a storage plugin on a scratch pool and tell where it breaks the contract
    Test(PluginTest),
}
