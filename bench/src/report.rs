//! The results as a page.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::rounds::{Results, Thing};
use crate::subject::printed;

pub(crate) fn text(results: &Results, runs: usize) -> String {
    let mut page = format!(
        "# wxc beside LXC\n\n\
         Written by `cargo xtask bench`: {runs} runs, all columns in turn in each, a release build of wxc \
         and Debian's LXC, the same busybox tree in a plain directory, no network, `sleep` as init; \
         wxc's run directory is in memory, as /run is on most systems. Times are of whole commands, from their start \
         to their end.\n\n{}\n\n",
        machine()
    );
    let mut table = |title: &str, pick: fn(&crate::samples::Samples) -> f64| {
        let _ = writeln!(page, "## {title}\n");
        let names: Vec<&str> = results.columns.iter().map(|column| column.name).collect();
        let _ =
            writeln!(page, "| | {} | wxc / LXC, privileged | wxc / LXC, user namespace |", names.join(" | "));
        let _ = writeln!(page, "|---|{}---:|---:|", "---:|".repeat(names.len()));
        for thing in Thing::ALL {
            let (words, unit) = thing.words();
            let values: Vec<f64> = results.columns.iter().map(|column| pick(column.of(thing))).collect();
            let _ = write!(page, "| {words} ({unit}) |");
            for value in &values {
                let _ = write!(page, " {value:.2} |");
            }
            for pair in values.chunks(2) {
                let _ = write!(page, " {:.2} |", pair[1] / pair[0]);
            }
            page.push('\n');
        }
        page.push('\n');
    };
    table("Medians", crate::samples::Samples::median);
    table("Fastest", crate::samples::Samples::min);
    let _ = writeln!(
        page,
        "`/bin/true` alone takes {:.2} ms here (median); `wxc run -- /bin/true`, a container made of the \
         machine's own `/usr`, run and removed, {:.2} ms.",
        results.floor.median(),
        results.throw_away.median()
    );
    let _ = writeln!(
        page,
        "\nA plugin (`storage-dir`) in a process that has done nothing yet: found, checked and loaded in {:.3} ms, \
         its first call answered after another {:.3} ms (medians; fastest {:.3} and {:.3}). Loaded and called once \
         more in the same process: {:.3} ms.",
        results.plugin.load.median(),
        results.plugin.call.median(),
        results.plugin.load.min(),
        results.plugin.call.min(),
        results.plugin.again.median()
    );
    page
}

/// What the figures depend on, and nothing that names the machine.
pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: String = kernel.split('.').take(2).collect::<Vec<_>>().join(".");
    let mut version = Command::new("/usr/bin/lxc-start");
    version.arg("--version");
    let lxc = printed(version).unwrap_or_else(|_| "of unknown version".into());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let has = |kind: &str| mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind));
    let cgroups = match (has("cgroup"), has("cgroup2")) {
        (true, true) => "v1 with an empty v2 tree (hybrid)",
        (true, false) => "v1",
        _ => "v2",
    };
    format!("- {count} × {model}\n- Linux {}, cgroups {cgroups}\n- LXC {lxc}", kernel.trim())
}
