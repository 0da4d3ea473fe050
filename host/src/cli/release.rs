#![forbid(unsafe_code)]
//! The process that a monitor starts when a container is gone, or wants to start again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::context;
use super::report::Failure;
use crate::container::journal::chain;
use crate::container::release::{self, Due};
use crate::plan::hooks::Occasion;

/// The plan of the container, from the monitor.
const PLAN_FD: i32 = 3;
/// Where it reads what went wrong, when it asked for hooks.
const ANSWER_FD: i32 = 4;
/// The container's root, while it is being mounted.
const ROOT_FD: i32 = 5;

/// What `container::release::arguments` wrote, and what is due.
#[derive(Debug, Parser)]
struct Words {
    #[arg(long)]
    path: PathBuf,
    #[arg(long)]
    run: PathBuf,
    #[arg(long)]
    plugin_dir: Option<PathBuf>,
    /// Files that are root's, where root is nobody.
    #[arg(long)]
    roots: Option<String>,
    due: OsString,
    /// What it knows about that.
    occasion: Option<String>,
}

pub(super) fn release(words: Vec<OsString>) -> Result<ExitCode, Failure> {
    // Without the role: what is left is a program's name and its options.
    let words = Words::try_parse_from(words.into_iter().skip(1)).map_err(|error| {
        Failure::new(format!("a monitor called in a way that is not understood: {error}"))
    })?;
    let due = Due::from_word(&words.due)
        .ok_or_else(|| Failure::new(format!("{:?} is nothing that can be due", words.due)))?;
    let fd = crate::sys::fd::inherited(PLAN_FD)
        .map_err(|error| Failure::new(format!("the monitor passed no plan: {error}")))?;
    // Before anything else gets its number.
    let root = matches!(due, Due::Hooks("mount" | "autodev")).then(|| crate::sys::fd::inherited(ROOT_FD));
    let root = root
        .transpose()
        .map_err(|error| Failure::new(format!("the monitor passed no root of the container: {error}")))?;
    words.roots.as_deref().into_iter().for_each(crate::sys::trusted::take_over);
    let host = context::host(Some(words.path), words.run, words.plugin_dir, true)?;
    let occasion = words.occasion.as_deref().unwrap_or("{}");
    let occasion: Occasion = serde_json::from_str(occasion)
        .map_err(|error| Failure::new(format!("a monitor said something that is not understood: {error}")))?;
    let done = release::run(&host, &release::read_plan(&fd)?, due, &occasion, root);
    if let (Err(error), Due::Hooks(_)) = (&done, due)
        && let Ok(answer) = crate::sys::fd::inherited(ANSWER_FD)
    {
        // It says so in turn to whoever waits for the start.
        let answered = rustix::io::write(&answer, chain(error).as_bytes());
        tracing::debug!(?answered, "answered");
    }
    done?;
    Ok(ExitCode::SUCCESS)
}
