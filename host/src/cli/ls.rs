#![forbid(unsafe_code)]
//! `wxc ls`.

use std::process::ExitCode;

use regex::Regex;

use super::args::Ls;
use super::context::Context;
use super::report::Failure;
use super::{human, table};
use crate::container::list::{self, Entry, Wanted};
use crate::runtime::State;

/// A column: its name, what has to be looked up for it, and its cell.
struct Column {
    name: &'static str,
    needs: Wanted,
    cell: fn(&Entry) -> String,
}

const NOTHING: Wanted = Wanted { configuration: false, snapshots: false, links: false, memory: false };
const CONFIGURATION: Wanted = Wanted { configuration: true, ..NOTHING };
const SNAPSHOTS: Wanted = Wanted { snapshots: true, ..NOTHING };
const LINKS: Wanted = Wanted { links: true, ..NOTHING };
const MEMORY: Wanted = Wanted { memory: true, ..NOTHING };

const fn column(name: &'static str, needs: Wanted, cell: fn(&Entry) -> String) -> Column {
    Column { name, needs, cell }
}

const COLUMNS: &[Column] = &[
    column("NAME", NOTHING, |e| e.name.to_string()),
    column("STATE", NOTHING, |e| e.state.to_string()),
    column("PID", NOTHING, |e| e.pid.map(|p| p.to_string()).unwrap_or_default()),
    column("RAM", MEMORY, |e| e.memory.map(human::megabytes).unwrap_or_default()),
    column("SWAP", MEMORY, |e| e.swap.map(human::megabytes).unwrap_or_default()),
    column("AUTOSTART", CONFIGURATION, |e| u8::from(e.autostart).to_string()),
    column("GROUPS", CONFIGURATION, |e| e.groups.join(", ")),
    column("INTERFACE", LINKS, |e| super::output::plain(&e.interfaces.join(", "))),
    column("IPV4", LINKS, |e| joined(&e.ipv4)),
    column("IPV6", LINKS, |e| joined(&e.ipv6)),
    column("UNPRIVILEGED", CONFIGURATION, |e| e.unprivileged.to_string()),
    column("EPHEMERAL", CONFIGURATION, |e| e.ephemeral.to_string()),
    column("STORAGE", CONFIGURATION, |e| e.storage.clone()),
    column("SNAPSHOTS", SNAPSHOTS, |e| e.snapshots.to_string()),
    column(PARENT, CONFIGURATION, |e| e.parent.clone().unwrap_or_default()),
    column(DISK, CONFIGURATION, |e| e.disk.and_then(|d| d.own()).map(human::megabytes).unwrap_or_default()),
];

/// What a container takes up on disk: storage without a count of its own goes through all its files, so it is shown,
/// also with `--json`, only where it is asked for.
const DISK: &str = "DISK";
/// What a container is built on, which only its storage knows.
const PARENT: &str = "PARENT";

/// What `-f` shows, as LXC does.
const FANCY: &[&str] = &["NAME", "STATE", "AUTOSTART", "GROUPS", "IPV4", "IPV6", "UNPRIVILEGED"];

pub(super) fn ls(context: &Context, args: &Ls) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let pattern = match args.pattern.as_ref().or(args.filter.as_ref()) {
        Some(text) => Some(Regex::new(text).map_err(|error| not_a_pattern(text, &error))?),
        None => None,
    };
    let columns = columns(args)?;
    let chosen = columns.iter().fold(NOTHING, |all, column| all.and(column.needs));
    let needed = match (args.json, args.groups.is_empty()) {
        (true, _) => Wanted::ALL,
        (false, true) => chosen,
        (false, false) => chosen.and(CONFIGURATION),
    };
    let mut entries =
        list::list(&host, needed, |name| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name)))?;
    entries.retain(|entry| is_wanted(args, entry));
    let is_asked = |name| columns.iter().any(|column| column.name == name);
    if args.json || is_asked(PARENT) {
        list::add_parents(&host, &mut entries);
    }
    if is_asked(DISK) {
        list::add_disk(&host, &mut entries)?;
    }
    if args.json {
        context.out.json(&entries);
    } else if !columns.is_empty() {
        fancy(context, &columns, &entries);
    } else {
        plain(context, args.line, &entries);
    }
    for entry in &entries {
        if let Some(problem) = &entry.problem {
            context.out.warn(super::output::plain(problem));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn not_a_pattern(text: &str, error: &regex::Error) -> Failure {
    Failure::new(format!("{text:?} is not a regular expression: {error}"))
        .hint("a plain name is one, and so is \"web.*\"")
}

/// The columns of the table; none for plain output.
fn columns(args: &Ls) -> Result<Vec<&'static Column>, Failure> {
    let chosen: Vec<String> = if !args.fancy_format.is_empty() {
        args.fancy_format.iter().map(|name| name.trim().to_uppercase()).collect()
    } else if args.fancy {
        FANCY.iter().map(ToString::to_string).collect()
    } else {
        Vec::new()
    };
    let known = || COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    chosen
        .iter()
        .map(|name| {
            COLUMNS.iter().find(|column| column.name == name).ok_or_else(|| {
                Failure::new(format!("there is no column {name:?}"))
                    .hint(format!("the columns are {}", known()))
            })
        })
        .collect()
}

fn is_wanted(args: &Ls, entry: &Entry) -> bool {
    let by_state = args.active || args.running || args.frozen || args.stopped;
    let frozen = matches!(entry.state, State::Frozen | State::Freezing);
    let state = !by_state
        || (args.active && entry.state != State::Stopped)
        || (args.running && entry.state == State::Running)
        || (args.frozen && frozen)
        || (args.stopped && entry.state == State::Stopped);
    // An empty word means: in no group.
    let in_group = |group: &String| {
        if group.is_empty() { entry.groups.is_empty() } else { entry.groups.contains(group) }
    };
    state && (args.groups.is_empty() || args.groups.iter().any(in_group))
}

fn fancy(context: &Context, columns: &[&Column], entries: &[Entry]) {
    let header: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let rows: Vec<Vec<String>> =
        entries.iter().map(|entry| columns.iter().map(|column| (column.cell)(entry)).collect()).collect();
    if !rows.is_empty() {
        context.out.line(table::columns(&header, &rows));
    }
}

/// Names: in columns on a terminal, one a line elsewhere and with `-1`.
fn plain(context: &Context, line: bool, entries: &[Entry]) {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let width = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    let widest = names.iter().map(|name| name.len()).max().unwrap_or(0) + 1;
    let across = if line { 1 } else { (width / widest).max(1) };
    for row in names.chunks(across) {
        let text: String = row.iter().map(|name| format!("{name:<widest$}")).collect();
        context.out.line(text.trim_end());
    }
}

fn joined<T: ToString>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
