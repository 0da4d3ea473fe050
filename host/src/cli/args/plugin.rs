#![forbid(unsafe_code)]
//! `wxc plugin` as types.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

#[derive(Debug, clap::Args)]
pub struct PluginTest {
    /// The component, or the name of a plugin
    pub plugin: String,
    /// Directory to make everything in; for storage, on the file system to be tried [default: /var/tmp]
    #[arg(long, value_name = "DIR")]
    pub pool: Option<PathBuf>,
    /// Only this case; may be given several times
    #[arg(long, value_name = "NAME")]
    pub case: Vec<String>,
    /// Set a setting of the plugin
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Tell a hook this, as a setting that stands for it in the container
    #[arg(long, value_name = "KEY=VALUE")]
    pub told: Vec<String>,
    /// Let it run the programs and ask the servers that it declares
    #[arg(long)]
    pub grant: bool,
    #[arg(long)]
    pub json: bool,
    /// Options of a template, as for `wxc create`
    #[arg(last = true, value_name = "OPTIONS")]
    pub words: Vec<String>,
}

/// Where a component comes from, and who vouches for it.
#[derive(Debug, clap::Args)]
pub struct PluginFrom {
    /// The component: a file, or an https address
    #[arg(value_name = "FILE|URL")]
    pub from: String,
    #[command(flatten)]
    pub vouching: PluginVouching,
}

#[derive(Debug, clap::Args)]
pub struct PluginVouching {
    /// What its digest has to be, such as sha256:HEX
    #[arg(long, value_name = "DIGEST")]
    pub digest: Option<String>,
    /// A signature beside it (OpenPGP or SSH)
    #[arg(long, value_name = "FILE|URL")]
    pub signature: Option<String>,
    /// Whose signature counts: a file with keys, or the name of a key ring [default: plugins]
    #[arg(long, value_name = "FILE|RING")]
    pub key: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct PluginUpgrade {
    /// Name of the plugin
    pub name: String,
    /// The other version: a file, or an https address [default: where it came from]
    #[arg(value_name = "FILE|URL")]
    pub from: Option<String>,
    #[command(flatten)]
    pub vouching: PluginVouching,
    /// Also grant everything that it asks for
    #[arg(long)]
    pub grant: bool,
    /// Also to an older version
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Put the file in place that was there before the last upgrade
    #[arg(long, conflicts_with_all = ["from", "digest", "signature", "key", "grant", "allow_downgrade"])]
    pub back: bool,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct PluginReplay {
    /// The record
    pub file: PathBuf,
    /// Another component, or the name of another plugin, instead of the one that was recorded
    #[arg(long, value_name = "PLUGIN")]
    pub with: Option<String>,
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
        /// Name of the plugin, or a component file
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Install a plugin from a component file, or from a server
    Install {
        #[command(flatten)]
        from: PluginFrom,
        /// Also grant everything it asks for
        #[arg(long)]
        grant: bool,
    },
    /// Put another version in the place of an installed plugin, and tell what is different
    Upgrade(PluginUpgrade),
    /// Switch a plugin on again
    Enable {
        /// Name of the plugin
        name: String,
    },
    /// Switch a plugin off: nobody loads it until it is switched on again
    Disable {
        /// Name of the plugin
        name: String,
        /// Also when it keeps containers, which then cannot be used
        #[arg(short, long)]
        force: bool,
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
    /// Try a plugin in a scratch directory and tell where it breaks the contract
    Test(PluginTest),
    /// Run a recorded call again, without touching anything, and tell what is different
    Replay(PluginReplay),
}
