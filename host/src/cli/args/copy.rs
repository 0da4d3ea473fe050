#![forbid(unsafe_code)]
//! The words of `wxc copy`, as lxc-copy has them.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wxc copy web web2              independent of web\n  wxc copy -s web web2           shares what both have in common, at once\n  wxc copy -R web www            another name\n  wxc copy -e web                a throw-away copy, started; gone when it stops\n  wxc copy -e web -- make check  the same for one command\n\nThe copy gets its own host name, machine id, hardware addresses and range of ids."
)]
#[command(
    override_usage = "wxc copy [OPTIONS] NAME NEWNAME [-- ARGUMENTS]\n       wxc copy [OPTIONS] -e NAME [NEWNAME] [-- COMMAND]"
)]
pub struct Copy {
    /// The container and the name of its copy
    #[arg(value_name = "NAME", num_args = 0..=2)]
    pub names: Vec<String>,
    /// Name of the container, as an option
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    pub name: Option<String>,
    /// Name of the copy, as an option
    #[arg(short = 'N', long = "newname", value_name = "NAME")]
    pub newname: Option<String>,
    /// Directory of containers for the copy [default: that of the container]
    #[arg(short = 'p', long = "newpath", value_name = "DIR")]
    pub newpath: Option<PathBuf>,
    /// Rename the container instead
    #[arg(short = 'R', long, conflicts_with_all = ["snapshot", "ephemeral", "newpath", "storage", "allow_running"])]
    pub rename: bool,
    /// Share the storage of the container: at once, and only what changes takes room
    #[arg(short, long)]
    pub snapshot: bool,
    /// Copy its snapshots, too
    #[arg(long = "with-snapshots", conflicts_with_all = ["ephemeral", "rename"])]
    pub with_snapshots: bool,
    /// Also while it runs; it is frozen as long as its files are copied
    #[arg(short, long = "allowrunning")]
    pub allow_running: bool,
    /// Start the copy, and remove it when it stops
    #[arg(short, long)]
    pub ephemeral: bool,
    /// Storage plugin that keeps the copy, or best [default: that of the container]
    #[arg(short = 'B', long = "storage", alias = "backingstorage", value_name = "STORAGE")]
    pub storage: Option<String>,
    /// The most that the copy may take up, where its storage has limits [default: that of the container]
    #[arg(short = 'L', long = "size", alias = "fssize", value_name = "SIZE", conflicts_with = "rename")]
    pub size: Option<String>,
    /// Keep the host name
    #[arg(short = 'K', long = "keepname")]
    pub keep_name: bool,
    /// Keep the hardware addresses
    #[arg(short = 'M', long = "keepmac")]
    pub keep_mac: bool,
    /// With -e: stay in the foreground with its console on this terminal
    #[arg(short = 'F', long, requires = "ephemeral")]
    pub foreground: bool,
    /// With -e: go to the background (the default; LXC's scripts say it)
    #[arg(short, long, requires = "ephemeral", conflicts_with = "foreground")]
    pub daemon: bool,
    /// With -e: what it writes is kept in memory, and costs no disk
    #[arg(short, long, requires = "ephemeral", conflicts_with = "keep_data")]
    pub tmpfs: bool,
    /// With -e: show a directory or file of the host in the copy, as bind=/SOURCE[:/TARGET][:ro|rw]; may be repeated
    #[arg(short, long, value_name = "MOUNT", requires = "ephemeral")]
    pub mount: Vec<String>,
    /// With -e: keep the copy when it stops
    #[arg(short = 'D', long = "keepdata", requires = "ephemeral")]
    pub keep_data: bool,
    /// Print what was made as JSON
    #[arg(long)]
    pub json: bool,
    /// With -e: run this in the copy and stop it. Otherwise: arguments for its clone hooks
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "rename")]
    pub command: Vec<String>,
}
