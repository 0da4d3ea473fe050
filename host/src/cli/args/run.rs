#![forbid(unsafe_code)]
//! The words of `wxc run`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wxc run -- sh -c 'id; hostname'\n  wxc run -s cgroup.memory.max=64M -- stress\n  wxc run --from web -- sh -c 'rm -rf /'\n  wxc run --image ./layout -- sh\n\nExit status: the command's, or 128 + number of the signal that ended it."
)]
pub struct Run {
    /// Template the throw-away container is made from
    #[arg(short, long, value_name = "TEMPLATE", default_value = "host")]
    pub template: String,
    /// Make it of an image: the name of one that is here, or an OCI image: a layout, an archive, REGISTRY/NAME[:TAG]
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["template", "from"])]
    pub image: Option<String>,
    /// Make it a clone of this container instead, which stays as it is
    #[arg(long, value_name = "NAME", conflicts_with_all = ["template", "option", "privileged"])]
    pub from: Option<String>,
    /// Name [default: run-XXXXXX]
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,
    /// Set a configuration key; may be repeated
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Option of the template as KEY=VALUE; may be repeated
    #[arg(short = 'O', long = "option", value_name = "KEY=VALUE")]
    pub option: Vec<String>,
    /// User inside: a number
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Working directory inside
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Set a variable, or take it over from here when only its name is given; may be repeated
    #[arg(long = "env", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// No user namespace: root inside is root of the host
    #[arg(long)]
    pub privileged: bool,
    /// Command and arguments [default: a shell, or what the image starts]
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}
