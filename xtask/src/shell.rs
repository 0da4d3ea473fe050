//! Running commands: shown before they run, and an error when they fail.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The top of the checkout. Cargo names the crate's folder in the environment of `cargo run`.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or(here.clone(), Path::to_path_buf)
}

/// What wxc is shipped for: this machine's architecture, with musl.
pub(crate) fn target() -> String {
    std::env::var(TARGET).unwrap_or_else(|_| format!("{}-unknown-linux-musl", std::env::consts::ARCH))
}

/// Where cargo, and whoever wants another target, says which.
const TARGET: &str = "CARGO_BUILD_TARGET";

/// The cargo that runs this task, at the top of the checkout, building what is shipped.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).env(TARGET, target());
    cargo
}

/// The command as one would type it.
pub(crate) fn words(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| match word.to_string_lossy() {
            plain if plain.chars().all(|c| c.is_alphanumeric() || "-_=+./:,@%^".contains(c)) => {
                plain.into_owned()
            }
            other => format!("'{}'", other.replace('\'', r"'\''")),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Shows the command, runs it, and fails when it fails.
pub(crate) fn run(mut command: Command) -> Result<()> {
    println!("$ {}", words(&command));
    let status = command.status().map_err(|error| format!("{}: {error}", words(&command)))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", words(&command)).into()) }
}

/// What the command prints, or nothing when it cannot be run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Builds a package and tells where its program is: only cargo knows, as the folder depends on
/// the target and on the environment.
pub(crate) fn build(package: &str, release: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", package, "--message-format=json-render-diagnostics"]);
    if release {
        build.arg("--release");
    }
    println!("$ cargo build --package {package}{}", if release { " --release" } else { "" });
    let output = build.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{package} does not build").into());
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo built no program named {package}").into())
}

/// The value of an option written `--name VALUE` or `--name=VALUE`.
pub(crate) fn option(args: &[String], name: &str) -> Option<String> {
    args.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix(name)? {
        "" => args.get(at + 1).cloned(),
        rest => rest.strip_prefix('=').map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_in_both_spellings() {
        let args = ["--mirror=a", "--prefix", "b"].map(String::from);
        assert_eq!(option(&args, "--mirror").as_deref(), Some("a"));
        assert_eq!(option(&args, "--prefix").as_deref(), Some("b"));
        assert_eq!(option(&args, "--pre"), None);
    }

    #[test]
    fn commands_are_shown_so_that_they_can_be_pasted() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "it's; true"]);
        assert_eq!(words(&command), r"sh -c 'it'\''s; true'");
    }
}
