#![forbid(unsafe_code)]
//! `wxc snapshot`: LXC's options, and a name for what is taken.

use clap::Args;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wxc snapshot web                         takes one; the first is snap0\n  wxc snapshot web before-upgrade -c \"it works\"\n  wxc snapshot web -L -C                   lists them, with comments\n  wxc snapshot web -r snap0                goes back to it; web is stopped\n  wxc snapshot web -r snap0 -N web2        makes a new container of it\n  wxc snapshot web -d ALL                  removes them"
)]
pub struct Snapshot {
    /// Name of the container
    #[arg(value_name = "NAME", required_unless_present = "name_option")]
    pub name: Option<String>,
    /// Name of the snapshot [default: snap0, snap1, ...]
    #[arg(value_name = "SNAPSHOT", conflicts_with_all = ["list", "restore", "destroy"])]
    pub snapshot: Option<String>,
    /// Name of the container, as an option
    #[arg(short = 'n', long = "name", id = "name_option", value_name = "NAME")]
    pub name_option: Option<String>,
    /// What to say about it: a text, or a file that holds it
    #[arg(short, long, value_name = "TEXT|FILE", conflicts_with_all = ["list", "restore", "destroy"])]
    pub comment: Option<String>,
    /// List them
    #[arg(short = 'L', long)]
    pub list: bool,
    /// List them with their comments
    #[arg(short = 'C', long = "showcomments", conflicts_with_all = ["restore", "destroy"])]
    pub show_comments: bool,
    /// Give the container the content and the configuration of this snapshot
    #[arg(short, long, value_name = "SNAPSHOT", conflicts_with_all = ["list", "destroy"])]
    pub restore: Option<String>,
    /// Restore into a new container of this name
    #[arg(short = 'N', long = "newname", value_name = "NEW", requires = "restore")]
    pub new_name: Option<String>,
    /// Remove this snapshot, or ALL
    #[arg(short, long, value_name = "SNAPSHOT|ALL", conflicts_with = "list")]
    pub destroy: Option<String>,
    /// Print what there is, or what was done, as JSON
    #[arg(long)]
    pub json: bool,
}
