//! Tools that no system package has, installed by cargo below `target/tools`, where they are the project's own.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::shell::{Result, root, run};

/// A crate with a program: its exact version, the features that are enough, and what needs it.
struct Tool {
    name: &'static str,
    version: &'static str,
    features: &'static str,
    why: &'static str,
}

/// The generator is of the series that the plugins' own `wit-bindgen` is.
const TOOLS: &[Tool] = &[
    Tool {
        name: "wit-bindgen-cli",
        version: "0.61.1",
        features: "c",
        why: "makes the C side of the plugins' interfaces",
    },
    Tool {
        name: "cargo-deny",
        version: "0.20.2",
        features: "",
        why: "checks licences and origins of dependencies",
    },
    Tool { name: MDBOOK, version: "0.5.4", features: "search", why: "makes a book of docs/" },
];

/// What `cargo xtask book` needs.
pub(crate) const MDBOOK: &str = "mdbook";

/// Where programs are looked for: first among these.
pub(crate) fn path() -> OsString {
    let own = root().join("target/tools/bin");
    let others = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(own).chain(std::env::split_paths(&others));
    std::env::join_paths(all).unwrap_or(others)
}

/// Installs what is missing or of another version. A failure costs the tests that need it, and nothing else.
pub(crate) fn prepare() {
    for tool in TOOLS {
        if let Err(error) = ensure(tool.name) {
            eprintln!("setup: {error}");
        }
    }
}

/// Installs one of them, if it is missing or of another version.
pub(crate) fn ensure(name: &str) -> Result<()> {
    let folder = root().join("target/tools");
    let record = fs::read_to_string(folder.join(".crates.toml")).unwrap_or_default();
    let wanted =
        TOOLS.iter().find(|tool| tool.name == name).ok_or_else(|| format!("no tool is named {name}"))?;
    if installed(&record, wanted) {
        return Ok(());
    }
    let Tool { name, version, why, .. } = wanted;
    install(wanted, &folder).map_err(|error| format!("{name} {version} ({why}): {error}").into())
}

/// By cargo's own record of what it installed there.
fn installed(record: &str, tool: &Tool) -> bool {
    record.contains(&format!("\"{} {} ", tool.name, tool.version))
}

/// Without optimisation: it runs for milliseconds, and optimising it takes four times as long as all the rest.
fn install(tool: &Tool, folder: &PathBuf) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo.args(["install", tool.name, "--version", tool.version, "--locked", "--debug", "--quiet"]);
    cargo.args(["--no-default-features", "--features", tool.features, "--root"]).arg(folder);
    // For this machine, with no flags of what is being built here.
    for variable in ["CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
    run(cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_not_the_one() {
        let tool = &TOOLS[0];
        let record =
            |version: &str| format!("[v1]\n\"{} {version} (registry+x)\" = [\"wit-bindgen\"]\n", tool.name);
        assert!(installed(&record(tool.version), tool));
        assert!(!installed(&record("0.61.10"), tool) && !installed(&record("0.1.0"), tool));
        assert!(!installed("", tool));
    }
}
