#![forbid(unsafe_code)]
//! The process that a monitor starts when a container is gone, or wants to start again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::context;
use super::report::Failure;
use crate::container::release::{self, Due};

/// The plan of the container, from the monitor.
const PLAN_FD: i32 = 3;

/// What `container::release::arguments` wrote, and what is due.
#[derive(Debug, Parser)]
struct Words {
    #[arg(long)]
    path: PathBuf,
    #[arg(long)]
    run: PathBuf,
    #[arg(long)]
    plugin_dir: Option<PathBuf>,
    due: OsString,
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
    let host = context::host(Some(words.path), words.run, words.plugin_dir, true)?;
    release::run(&host, &release::read_plan(&fd)?, due)?;
    Ok(ExitCode::SUCCESS)
}
