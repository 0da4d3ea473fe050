//! What hooks cost: as many components and as many of LXC's shell lines at the same moments of a start, in turn.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use wxc_tests::guest;

use crate::lxc::Lxc;
use crate::samples::Samples;
use crate::subject::{Failed, Subject, timed};
use crate::wxc::Wxc;

/// Runs unless told.
pub(crate) const RUNS: usize = 40;
/// Runs whose times are not kept.
const WARM: usize = 3;
const COUNTS: [usize; 4] = [0, 1, 3, 10];
const POINTS: [&str; 2] = ["pre-start", "start-host"];
/// Hooks that come with wxc, as somebody may have them: variables, rules, and names in the container's files.
const REAL: &str = "[hooks.environment.settings]\nLANG = \"C.UTF-8\"\n[hooks.policy]\n[hooks.resolver.settings]\nnameservers = \"192.0.2.1\"\n[labels]\nprivileged-for = \"measuring\"\n";

/// One container: with which hooks it starts.
struct Row {
    words: String,
    container: String,
    point: Option<&'static str>,
    count: usize,
}

/// Measures, and says it as a page.
pub(crate) fn run(runs: usize) -> Result<String, Failed> {
    let place = tempfile::Builder::new().prefix("wxc-bench").tempdir_in("/var/tmp")?;
    let runtime = tempfile::Builder::new().prefix("wxc-bench").tempdir_in("/dev/shm")?;
    let tree = wxc_tests::fixtures::busybox();
    let folder = place.path().join("plugins");
    components(place.path(), &folder)?;
    let script = place.path().join("hook.sh");
    fs::write(&script, "#!/bin/sh\nexit 0\n")?;
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut text = format!(
        "# What hooks cost, beside LXC's\n\nWritten by `cargo xtask bench hooks`: {runs} runs, all rows and both programs in turn in each and in changing order, a release build of wxc and \
         Debian's LXC, the same busybox tree in a plain directory. Each hook does nothing: LXC's is a shell script that exits, wxc's a component from a file of \
         its own that returns. Times are of whole starts, until RUNNING, in milliseconds: medians and, in brackets, the fastest.\n"
    );
    for privileged in [true, false] {
        let short = if privileged { "p" } else { "m" };
        let lxc = Lxc { path: place.path().join(format!("l{short}")), tree, mapped: !privileged };
        let wxc = Wxc {
            path: place.path().join(format!("w{short}")),
            run: runtime.path().join(short),
            tree,
            privileged,
        };
        measure(&lxc, &wxc, &folder, &script, runs, &mut text)?;
    }
    Ok(text)
}

/// Ten hooks for each point, each in a file of its own.
fn components(place: &Path, folder: &Path) -> Result<(), Failed> {
    let source = wxc_tests::root().join("tests/idle");
    let manifest = fs::read_to_string(source.join("plugin.toml"))?;
    for point in POINTS {
        for number in 1..=COUNTS[COUNTS.len() - 1] {
            let name = format!("hook-{}", idle(point, number));
            let file = place.join(format!("{name}.toml"));
            let text = manifest
                .replace("\"hook-idle\"", &format!("\"{name}\""))
                .replace("default = \"pre-start\"", &format!("default = \"{point}\""));
            fs::write(&file, text)?;
            guest::built(&source, "hook_idle", &file, &folder.join(&name).with_extension("wasm"));
        }
    }
    Ok(())
}

fn idle(point: &str, number: usize) -> String {
    format!("idle-{point}-{number}")
}

fn rows() -> Vec<Row> {
    let mut rows = vec![Row { words: "none".into(), container: "h0".into(), point: None, count: 0 }];
    for point in POINTS {
        for count in COUNTS.into_iter().filter(|count| *count > 0) {
            let words = format!("{count} at {point}");
            rows.push(Row { words, container: format!("{point}-{count}"), point: Some(point), count });
        }
    }
    rows
}

fn measure(
    lxc: &Lxc,
    wxc: &Wxc,
    folder: &Path,
    script: &Path,
    runs: usize,
    text: &mut String,
) -> Result<(), Failed> {
    let rows = rows();
    for row in &rows {
        make(lxc, wxc, row, script)?;
    }
    wxc.create("real")?;
    append(&wxc.path.join("real/container.toml"), REAL)?;
    let start = |container: &str| {
        let mut command = wxc.start(container);
        command.env("WXC_PLUGIN_DIR", folder);
        command
    };
    let mut samples: Vec<[Samples; 2]> = rows.iter().map(|_| Default::default()).collect();
    let mut real = Samples::default();
    for run in 0..runs + WARM {
        eprint!("\rhooks, run {} of {} ", run + 1, runs + WARM);
        for place in 0..rows.len() {
            // Each row comes at each place, and each program is the first as often: what one leaves behind is taken away while the
            // next begins.
            let index = (run + place) % rows.len();
            let (row, [theirs, ours]) = (&rows[index], &mut samples[index]);
            for ours_now in [(run + place) % 2 == 0, (run + place) % 2 == 1] {
                let took =
                    if ours_now { timed(start(&row.container))? } else { timed(lxc.start(&row.container))? };
                timed(if ours_now { wxc.kill(&row.container) } else { lxc.kill(&row.container) })?;
                if run >= WARM {
                    let samples = if ours_now { &mut *ours } else { &mut *theirs };
                    samples.time(took);
                }
            }
        }
        let took = timed(start("real"))?;
        timed(wxc.kill("real"))?;
        if run >= WARM {
            real.time(took);
        }
    }
    eprintln!();
    let memory = memory(lxc, &start, wxc)?;
    write(text, wxc.privileged, &rows, &samples, &real, &memory);
    Ok(())
}

/// The same container for both.
fn make(lxc: &Lxc, wxc: &Wxc, row: &Row, script: &Path) -> Result<(), Failed> {
    lxc.create(&row.container)?;
    wxc.create(&row.container)?;
    let Some(point) = row.point else { return Ok(()) };
    let line = format!("lxc.hook.{point} = {}\n", script.display());
    append(&lxc.path.join(&row.container).join("config"), &line.repeat(row.count))?;
    let hooks: Vec<String> =
        (1..=row.count).map(|number| format!("[hooks.{}]\n", idle(point, number))).collect();
    append(&wxc.path.join(&row.container).join("container.toml"), &hooks.concat())
}

fn append(file: &Path, text: &str) -> Result<(), Failed> {
    let before = fs::read_to_string(file)?;
    Ok(fs::write(file, format!("{before}\n{text}"))?)
}

/// The largest resident size of a start, in KiB: without hooks and with ten at `pre-start`.
fn memory(lxc: &Lxc, start: &dyn Fn(&str) -> Command, wxc: &Wxc) -> Result<[[f64; 2]; 2], Failed> {
    let size = |command: Command| -> Result<f64, Failed> {
        let out = tempfile::NamedTempFile::new()?;
        let mut time = Command::new("/usr/bin/time");
        time.args(["-f", "%M", "-o"]).arg(out.path()).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => time.env(name, value),
                None => time.env_remove(name),
            };
        }
        timed(time)?;
        Ok(fs::read_to_string(out.path())?.trim().parse()?)
    };
    let both = |container: &str| -> Result<[f64; 2], Failed> {
        let sizes = [size(lxc.start(container))?, size(start(container))?];
        timed(lxc.kill(container))?;
        timed(wxc.kill(container))?;
        Ok(sizes)
    };
    Ok([both("h0")?, both("pre-start-10")?])
}

fn write(
    text: &mut String,
    privileged: bool,
    rows: &[Row],
    samples: &[[Samples; 2]],
    real: &Samples,
    memory: &[[f64; 2]; 2],
) {
    let head = if privileged { "Privileged" } else { "With a user namespace" };
    let _written = write!(
        text,
        "\n## {head}\n\n| hooks | LXC | wxc | wxc / LXC | one hook more, LXC | one hook more, wxc | wxc / LXC |\n|---|---:|---:|---:|---:|---:|---:|\n"
    );
    let [none_theirs, none_ours] = &samples[0];
    for (row, [theirs, ours]) in rows.iter().zip(samples) {
        let more = |with: &Samples, without: &Samples| {
            (with.median() - without.median()) / f64::from(u32::try_from(row.count).unwrap_or(1))
        };
        let tail = if row.count == 0 {
            "– | – | –".to_owned()
        } else {
            let (a, b) = (more(theirs, none_theirs), more(ours, none_ours));
            format!("{a:.2} | {b:.2} | {:.2}", b / a)
        };
        let _written = writeln!(
            text,
            "| {} | {:.2} ({:.2}) | {:.2} ({:.2}) | {:.2} | {tail} |",
            row.words,
            theirs.median(),
            theirs.min(),
            ours.median(),
            ours.min(),
            ours.median() / theirs.median()
        );
    }
    let [[none_lxc, none_wxc], [ten_lxc, ten_wxc]] = memory;
    let _written = writeln!(
        text,
        "\nA start with three hooks that come with wxc (variables, rules, nameservers written into the container) takes {:.2} ms ({:.2}), {:.2} of LXC's start without any. \
         The command's memory at its largest: LXC {none_lxc:.0} KiB without hooks and {ten_lxc:.0} with ten, wxc {none_wxc:.0} and {ten_wxc:.0}.",
        real.median(),
        real.min(),
        real.median() / none_theirs.median()
    );
}
