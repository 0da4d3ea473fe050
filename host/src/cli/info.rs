#![forbid(unsafe_code)]
//! `wxc info`.

use std::process::ExitCode;
use std::time::Duration;

use super::args::Info;
use super::context::{self, Context};
use super::report::Failure;
use super::{human, output};
use crate::config::hooks::EXEC;
use crate::container::{configure, info};

/// Width of a label, as LXC pads it.
const LABEL: usize = 15;

/// Lines that are collected, then printed: with `-H` and one selector bare.
struct Lines {
    lines: Vec<(String, String)>,
    raw: bool,
}

impl Lines {
    fn add(&mut self, label: &str, value: impl ToString) {
        self.lines.push((label.to_string(), value.to_string()));
    }

    fn bytes(&mut self, label: &str, count: Option<u64>) {
        if let Some(count) = count {
            self.add(label, if self.raw { count.to_string() } else { human::bytes(count) });
        }
    }

    fn time(&mut self, label: &str, span: Option<Duration>) {
        if let Some(span) = span {
            self.add(label, if self.raw { span.as_nanos().to_string() } else { human::seconds(span) });
        }
    }
}

pub(super) fn info(context: &Context, args: &Info) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let name = context::name(&args.target)?;
    if !args.config.is_empty() {
        return keys(context, args, &host, &name);
    }
    let selectors = [args.ips, args.pid, args.stats, args.state];
    let all = args.json || !selectors.contains(&true);
    let wanted = info::Wanted {
        links: all || args.ips || args.stats,
        usage: all || args.stats,
        limit: all,
        disk: all,
        ties: all,
    };
    let found = info::info(&host, &name, wanted)?;
    if args.json {
        context.out.json(&found);
        return Ok(ExitCode::SUCCESS);
    }
    let bare = args.no_humanize && selectors.iter().filter(|on| **on).count() == 1;
    let mut lines = Lines { lines: Vec::new(), raw: args.no_humanize };
    if all {
        lines.add("Name:", &found.name);
    }
    if all || args.state {
        lines.add("State:", found.state);
    }
    if let Some(pid) = found.pid.filter(|_| all || args.pid) {
        lines.add("PID:", pid);
    }
    if all || args.ips {
        let links = found.links.iter().filter(|link| !link.loopback);
        for address in links.flat_map(|link| &link.addresses) {
            lines.add("IP:", address.address);
        }
    }
    if all || args.stats {
        statistics(&mut lines, &found);
    }
    if all {
        lines.add("Unprivileged:", found.unprivileged);
        lines.add("Storage:", &found.storage);
        lines.bytes("Disk use:", found.disk.and_then(|disk| disk.own()));
        lines.bytes("Shared:", found.disk.and_then(|disk| disk.shared()).filter(|shared| *shared > 0));
        lines.bytes("Size limit:", found.limit);
        if let Some(parent) = &found.parent {
            lines.add("Built on:", parent);
        }
        if !found.clones.is_empty() {
            lines.add("Clones:", found.clones.join(", "));
        }
        if let Some(template) = &found.template {
            lines.add("Made from:", format!("{} {}", template.name, template.image).trim());
        }
        if !found.hooks.is_empty() {
            let shown = |name: &String| {
                if name == EXEC { format!("{name} (unconfined)") } else { name.clone() }
            };
            lines.add("Hooks:", found.hooks.iter().map(shown).collect::<Vec<_>>().join(", "));
        }
        if found.snapshots > 0 {
            lines.add("Snapshots:", found.snapshots);
        }
        lines.add("Directory:", found.directory.display());
    }
    for (label, value) in &lines.lines {
        let value = output::plain(value);
        if bare { context.out.line(value) } else { context.out.line(format_args!("{label:<LABEL$} {value}")) }
    }
    Ok(ExitCode::SUCCESS)
}

fn statistics(lines: &mut Lines, found: &info::Info) {
    if let Some(usage) = &found.usage {
        lines.time("CPU use:", usage.cpu);
        lines.bytes("BlkIO use:", usage.io.map(|io| io.read + io.written));
        lines.bytes("Memory use:", usage.memory.map(|memory| memory.current));
        lines.bytes("Swap use:", usage.memory.and_then(|memory| memory.swap));
        if let Some(tasks) = usage.tasks {
            lines.add("Tasks:", tasks);
        }
    }
    for link in found.links.iter().filter(|link| !link.loopback) {
        lines.add("Link:", &link.name);
        lines.bytes(" TX bytes:", Some(link.sent.bytes));
        lines.bytes(" RX bytes:", Some(link.received.bytes));
        lines.bytes(" Total bytes:", Some(link.sent.bytes + link.received.bytes));
    }
}

/// `-c KEY`: `KEY = value`, or the bare value with `-H` and one key.
fn keys(
    context: &Context,
    args: &Info,
    host: &crate::container::Host,
    name: &crate::config::Name,
) -> Result<ExitCode, Failure> {
    let bare = args.no_humanize && args.config.len() == 1;
    for key in &args.config {
        let value = configure::get(host, name, key)?.value;
        if bare { context.out.line(value) } else { context.out.line(format_args!("{key} = {value}")) }
    }
    Ok(ExitCode::SUCCESS)
}
