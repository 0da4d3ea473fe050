#![forbid(unsafe_code)]
//! Completions and manual pages, from the same definitions as the help.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;

use super::args::Wxc;
use super::output::Output;
use super::report::Failure;

/// `wxc completions SHELL`.
pub(super) fn completions(shell: clap_complete::Shell, out: Output) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Wxc::command(), "wxc", &mut script);
    out.raw(&script);
    ExitCode::SUCCESS
}

/// `wxc man DIR`: one page for wxc and one for each verb.
pub(super) fn man(directory: &Path, out: Output) -> Result<ExitCode, Failure> {
    let failed = |what: &str, path: &Path| {
        let text = format!("cannot {what} {}", path.display());
        move |error: std::io::Error| {
            Failure::new(format!("{text}: {error}")).hint("name a directory that you can write to")
        }
    };
    fs::create_dir_all(directory).map_err(failed("make the directory", directory))?;
    clap_mangen::generate_to(Wxc::command(), directory)
        .map_err(failed("write manual pages into", directory))?;
    out.say(format_args!("wrote the manual pages into {}; read one: man -l {0}/wxc.1", directory.display()));
    Ok(ExitCode::SUCCESS)
}
