#![forbid(unsafe_code)]
//! The command line as types: help, completions and man pages all come from here.
//!
//! Words and meanings are LXC's where LXC has them. Every verb takes its container as the first
//! word or with `-n`; what follows `--` belongs to the template or to the command.

mod config;
mod copy;
mod image;
mod plugin;
mod run;
mod snapshot;
mod transfer;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use config::Config;
pub use copy::Copy;
pub use image::Image;
pub use plugin::{
    NewKind, NewLanguage, Plugin, PluginFrom, PluginNew, PluginReplay, PluginTest, PluginUpgrade,
    PluginVouching,
};
pub use run::Run;
pub use snapshot::Snapshot;
pub use transfer::{Export, Import, Packing};

/// Linux system containers with storage, templates and hooks as sandboxed WASM components.
#[derive(Debug, Parser)]
#[command(
    name = "wxc",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Try it: wxc run -- sh -c 'hostname; ps ax'\nEvery verb explains itself: wxc VERB --help"
)]
pub struct Wxc {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Directory that holds the containers [default: /var/lib/wxc, or ~/.local/share/wxc]
    #[arg(
        short = 'P',
        long = "path",
        alias = "lxcpath",
        value_name = "DIR",
        global = true,
        env = "WXC_PATH"
    )]
    pub path: Option<PathBuf>,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more on the terminal; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Append the log to this file
    #[arg(short = 'o', long = "logfile", value_name = "FILE", global = true)]
    pub log_file: Option<PathBuf>,
    /// Least important level that goes into the log file
    #[arg(short = 'l', long = "logpriority", value_name = "LEVEL", global = true, default_value = "info")]
    pub log_level: LogLevel,
    /// Look for plugins in this directory first; a file there replaces a plugin of the same name
    #[arg(long, value_name = "DIR", global = true, env = "WXC_PLUGIN_DIR")]
    pub plugin_dir: Option<PathBuf>,
}

/// Levels of the log; LXC's words are understood.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogLevel {
    #[value(aliases = ["fatal", "alert", "crit", "ERROR", "FATAL", "ALERT", "CRIT"])]
    Error,
    #[value(aliases = ["warning", "WARN"])]
    Warn,
    #[value(aliases = ["notice", "INFO", "NOTICE"])]
    Info,
    #[value(alias = "DEBUG")]
    Debug,
    #[value(alias = "TRACE")]
    Trace,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a container from a template
    Create(Create),
    /// Copy a container, in full or sharing its storage
    Copy(Copy),
    /// Start a container; returns when it is RUNNING
    Start(Start),
    /// Ask a container to shut down, wait, then kill it
    Stop(Stop),
    /// Stop a container and start it again
    Restart(Restart),
    /// Run a command, or a shell, in a running container
    Attach(Attach),
    /// Connect to a container's console or one of its terminals
    Console(Console),
    /// Run one command in a throw-away container
    Run(Run),
    /// List containers
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show state, addresses and use of a container
    Info(Info),
    /// Remove a container and all that belongs to it
    Destroy(Destroy),
    /// Take, list, restore and remove snapshots of a container
    Snapshot(Snapshot),
    /// Write a container with its snapshots to one file, or to standard output
    Export(Export),
    /// Make a container of a file that export wrote
    Import(Import),
    /// Look for what interrupted commands left, explain it, and repair it
    Doctor(Doctor),
    /// Change how much a container may take up
    Resize(Resize),
    /// Freeze all processes of a container
    Freeze(One),
    /// Let a frozen container go on
    Unfreeze(One),
    /// Wait until a container is in one of the given states
    Wait(Wait),
    /// Print state changes as they happen
    Monitor(Monitor),
    /// Show and change the configuration of a container
    #[command(subcommand)]
    Config(Config),
    /// List and remove images, which new containers are clones of
    #[command(subcommand)]
    Image(Image),
    /// List, inspect, install and allow plugins
    #[command(subcommand)]
    Plugin(Plugin),
    /// Print a completion script for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// Directory; made if missing
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// A verb that needs a container and nothing else.
#[derive(Debug, Args)]
pub struct One {
    #[command(flatten)]
    pub target: Target,
}

/// The container: the first word, or `-n`.
#[derive(Debug, Args)]
pub struct Target {
    /// Name of the container
    #[arg(value_name = "NAME", required_unless_present = "name_option", conflicts_with = "name_option")]
    pub name: Option<String>,
    /// Name of the container, as an option
    #[arg(short = 'n', long = "name", id = "name_option", value_name = "NAME")]
    pub name_option: Option<String>,
}

impl Target {
    /// The word that was given; the grammar is checked by whoever uses it.
    #[must_use]
    pub fn word(&self) -> &str {
        self.name.as_deref().or(self.name_option.as_deref()).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wxc create web -t host\n  wxc create web -t local -- --tarball debian.tar.zst\n  wxc create web -t download              asks what it has to know\n  wxc create web --image trixie           an image that is here: wxc image list\n\nOptions of a template: wxc create -t TEMPLATE --help-template"
)]
pub struct Create {
    /// Name of the container
    #[arg(value_name = "NAME", required_unless_present_any = ["name_option", "help_template", "options"])]
    pub name: Option<String>,
    /// Name of the container, as an option
    #[arg(short = 'n', long = "name", id = "name_option", value_name = "NAME", conflicts_with = "name")]
    pub name_option: Option<String>,
    /// Template plugin that fills the root file system
    #[arg(short, long, value_name = "TEMPLATE", required_unless_present = "image", conflicts_with = "image")]
    pub template: Option<String>,
    /// Make it of an image that is here instead: its name, or the beginning of its key
    #[arg(short, long, value_name = "IMAGE", conflicts_with_all = ["help_template", "options"])]
    pub image: Option<String>,
    /// Storage plugin that keeps it: dir, overlay, btrfs, ... or best, for what suits the containers' directory [default: dir]
    #[arg(short = 'B', long = "storage", alias = "bdev", value_name = "STORAGE")]
    pub storage: Option<String>,
    /// The most it may take up, e.g. 20G, where the storage sets limits
    #[arg(long, alias = "fssize", value_name = "SIZE")]
    pub size: Option<String>,
    /// Set a setting of the storage plugin for this container, e.g. filesystem=xfs; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub storage_set: Vec<String>,
    /// Start from this configuration file instead of the default one
    #[arg(short = 'f', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a configuration key, e.g. -s cgroup.memory.max=512M; may be repeated
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// No user namespace: root inside is root of the host
    #[arg(long)]
    pub privileged: bool,
    /// Take an image also if it is older than one that was used before, or out of date
    #[arg(long)]
    pub allow_older: bool,
    /// Show the options of the template and stop
    #[arg(long)]
    pub help_template: bool,
    /// Print what was made as JSON
    #[arg(long)]
    pub json: bool,
    /// Options of the template; --help and --list tell of them and of what it has
    #[arg(last = true, value_name = "TEMPLATE OPTIONS")]
    pub options: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    pub target: Target,
    /// Stay in the foreground with the container's console on this terminal
    #[arg(short = 'F', long)]
    pub foreground: bool,
    /// Go to the background (the default; LXC's scripts say it)
    #[arg(short, long, conflicts_with = "foreground")]
    pub daemon: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub plan: bool,
    /// With --plan: as JSON
    #[arg(long, requires = "plan")]
    pub json: bool,
    /// Write the process id of the monitor to this file
    #[arg(short, long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// Set a configuration key for this start only; may be repeated
    #[arg(short, long = "set", alias = "define", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Append the console to this file
    #[arg(short = 'L', long, value_name = "FILE")]
    pub console_log: Option<PathBuf>,
    /// Program and arguments instead of init
    #[arg(last = true, value_name = "INIT")]
    pub init: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    pub target: Target,
    /// Kill at once instead of asking
    #[arg(short, long, conflicts_with_all = ["reboot", "nokill"])]
    pub kill: bool,
    /// Ask for a reboot instead of a shutdown
    #[arg(short, long)]
    pub reboot: bool,
    /// Seconds to wait before it is killed [default: the container's stop.timeout, 60]
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Never kill: fail when the time is over
    #[arg(long)]
    pub nokill: bool,
    /// Ask, and do not wait
    #[arg(short = 'W', long)]
    pub nowait: bool,
}

#[derive(Debug, Args)]
pub struct Restart {
    #[command(flatten)]
    pub target: Target,
    /// Kill at once instead of asking
    #[arg(short, long)]
    pub kill: bool,
    /// Seconds to wait before it is killed [default: the container's stop.timeout, 60]
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: the command's; 128 + number of the signal that ended it; 127 when it is not\nthere, 126 when it cannot be executed, 1 when the container could not be entered."
)]
pub struct Attach {
    #[command(flatten)]
    pub target: Target,
    /// User inside: a name or a number, optionally USER:GROUP
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Working directory inside [default: the user's home]
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Set a variable, or take it over from here when only its name is given; may be repeated
    #[arg(long = "env", alias = "set-var", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Take over the whole environment of this process
    #[arg(long)]
    pub keep_env: bool,
    /// Start from an empty environment (the default; LXC's scripts say it)
    #[arg(long, conflicts_with = "keep_env")]
    pub clear_env: bool,
    /// Enter only these: user, mount, pid, uts, ipc, net, cgroup, time; joined by commas or |
    #[arg(long, value_name = "LIST")]
    pub namespaces: Option<String>,
    /// Keep all capabilities and skip the system-call filter
    #[arg(short, long)]
    pub elevated_privileges: bool,
    /// Give it a terminal even when none is here
    #[arg(long, conflicts_with = "no_terminal")]
    pub terminal: bool,
    /// Never give it a terminal
    #[arg(short = 'T', long)]
    pub no_terminal: bool,
    /// Command and arguments [default: the user's shell]
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Console {
    #[command(flatten)]
    pub target: Target,
    /// Number of the terminal; 0 is the console
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    pub tty: u32,
    /// Prefix character; the prefix and then q leaves, twice sends it
    #[arg(short, long, value_name = "^C", default_value = "^a")]
    pub escape: String,
    /// Print what the console has kept, and leave
    #[arg(long)]
    pub show_log: bool,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// Only names that match this regular expression
    #[arg(value_name = "REGEX")]
    pub pattern: Option<String>,
    /// The same, as LXC spells it
    #[arg(long, value_name = "REGEX", conflicts_with = "pattern")]
    pub filter: Option<String>,
    /// One name a line
    #[arg(short = '1', long, conflicts_with_all = ["fancy", "fancy_format"])]
    pub line: bool,
    /// A table
    #[arg(short, long)]
    pub fancy: bool,
    /// A table with these columns: NAME STATE PID RAM SWAP AUTOSTART GROUPS INTERFACE IPV4 IPV6 UNPRIVILEGED EPHEMERAL STORAGE SNAPSHOTS PARENT DISK
    #[arg(short = 'F', long, value_name = "COLUMNS", value_delimiter = ',')]
    pub fancy_format: Vec<String>,
    /// Only containers that are not stopped
    #[arg(long)]
    pub active: bool,
    /// Only running ones
    #[arg(long)]
    pub running: bool,
    /// Only frozen ones
    #[arg(long)]
    pub frozen: bool,
    /// Only stopped ones
    #[arg(long)]
    pub stopped: bool,
    /// Only those in one of these groups
    #[arg(short, long, value_name = "GROUPS", value_delimiter = ',')]
    pub groups: Vec<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Info {
    #[command(flatten)]
    pub target: Target,
    /// Show a configuration key; may be repeated
    #[arg(short, long = "config", value_name = "KEY")]
    pub config: Vec<String>,
    /// Show the addresses
    #[arg(short, long)]
    pub ips: bool,
    /// Show the process id of init
    #[arg(short, long)]
    pub pid: bool,
    /// Show the use of cpu, memory, io and network
    #[arg(short = 'S', long)]
    pub stats: bool,
    /// Show the state
    #[arg(short, long)]
    pub state: bool,
    /// Plain numbers; with one selector the bare value
    #[arg(short = 'H', long)]
    pub no_humanize: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The exit code is 0 when nothing is wrong or all of it was repaired, and 1 otherwise.\n\nExamples:\n  wxc doctor               looks at everything and changes nothing\n  wxc doctor web           at one container\n  wxc doctor --repair      does what the first one said; on a terminal it asks each time"
)]
pub struct Doctor {
    /// Name of the container [default: all of them]
    #[arg(value_name = "NAME", conflicts_with = "name_option")]
    pub name: Option<String>,
    /// Name of the container, as an option
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    pub name_option: Option<String>,
    /// Put right what can be put right; on a terminal each is asked for
    #[arg(long)]
    pub repair: bool,
    /// Repair without asking, also what removes data that no container has
    #[arg(short = 'y', long, requires = "repair")]
    pub yes: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wxc resize web 20G    altogether\n  wxc resize web +5G    more than now\n  wxc resize web none   no limit, where the storage allows that\n\nA container can grow while it runs where its storage can do that, and get smaller when it is stopped and what is in it fits."
)]
pub struct Resize {
    /// Name of the container
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Size, +SIZE, or none
    #[arg(value_name = "SIZE")]
    pub size: String,
    /// Print what has changed as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Destroy {
    #[command(flatten)]
    pub target: Target,
    /// Also when it is running: it is killed first
    #[arg(short, long)]
    pub force: bool,
    /// Also when it has snapshots: they go along
    #[arg(short, long)]
    pub snapshots: bool,
}

#[derive(Debug, Args)]
pub struct Wait {
    #[command(flatten)]
    pub target: Target,
    /// States to wait for, joined by |
    #[arg(short, long, value_name = "STATES")]
    pub state: String,
    /// Give up after this many seconds; -1 never
    #[arg(short, long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    pub timeout: i64,
}

#[derive(Debug, Args)]
pub struct Monitor {
    /// Only containers whose whole name matches this regular expression
    #[arg(value_name = "REGEX", default_value = ".*")]
    pub pattern: String,
    /// The same, as LXC spells it
    #[arg(short = 'n', long = "name", value_name = "REGEX")]
    pub name: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn options_do_not_collide() {
        super::Wxc::command().debug_assert();
    }
}
