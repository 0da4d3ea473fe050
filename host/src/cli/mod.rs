#![forbid(unsafe_code)]
//! The command line: arguments in, use case, text out.

/// The command line as types.
pub mod args;
/// Questions on a terminal.
mod ask;
/// Helpers that several verbs share: the host, names, pairs.
mod context;
/// Numbers as people read them.
mod human;
/// Ctrl-C.
mod interrupt;
/// The log.
mod log;
/// The only place that prints.
pub mod output;
/// Progress: a bar, or lines.
mod progress;
/// Message, causes, hints, exit code.
pub mod report;
/// Tables.
mod table;
/// Containers as files.
mod transfer;

mod attach;
mod completions;
mod config;
mod console;
mod copy;
mod create;
mod destroy;
mod doctor;
mod foreground;
mod image;
mod info;
mod ls;
mod monitor;
mod plugin;
mod plugin_install;
mod plugin_new;
mod plugin_replay;
mod plugin_test;
mod release;
mod resize;
mod run;
mod snapshot;
mod start;
mod stop;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Verb, Wxc};
use context::Context;
use report::Failure;

/// Plays the part of `wxc` on a command line.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let result = match words.get(1) {
        Some(word) if word == crate::container::release::ROLE => release::release(words),
        _ => command(Wxc::parse_from(words)),
    };
    result.unwrap_or_else(Failure::report)
}

fn command(wxc: Wxc) -> Result<ExitCode, Failure> {
    log::set_up(&wxc.global)?;
    let context = Context::new(wxc.global);
    match wxc.verb {
        Verb::Create(args) => create::create(&context, &args),
        Verb::Copy(args) => copy::copy(&context, &args),
        Verb::Start(args) => start::start(&context, args),
        Verb::Stop(args) => stop::stop(&context, &args),
        Verb::Restart(args) => stop::restart(&context, &args),
        Verb::Attach(args) => attach::attach(&context, args),
        Verb::Console(args) => console::console(&context, &args),
        Verb::Run(args) => run::run(&context, args),
        Verb::Ls(args) => ls::ls(&context, &args),
        Verb::Info(args) => info::info(&context, &args),
        Verb::Destroy(args) => destroy::destroy(&context, &args),
        Verb::Snapshot(args) => snapshot::snapshot(&context, &args),
        Verb::Export(args) => transfer::export(&context, &args),
        Verb::Import(args) => transfer::import(&context, &args),
        Verb::Doctor(args) => doctor::doctor(&context, &args),
        Verb::Image(verb) => image::image(&context, &verb),
        Verb::Resize(args) => resize::resize(&context, &args),
        Verb::Freeze(args) => stop::freeze(&context, &args),
        Verb::Unfreeze(args) => stop::unfreeze(&context, &args),
        Verb::Wait(args) => wait::wait(&context, &args),
        Verb::Monitor(args) => monitor::monitor(&context, &args),
        Verb::Config(args) => config::config(&context, args),
        Verb::Plugin(args) => plugin::plugin(&context, args),
        Verb::Completions { shell } => Ok(completions::completions(shell, context.out)),
        Verb::Man { directory } => completions::man(&directory, context.out),
    }
}
