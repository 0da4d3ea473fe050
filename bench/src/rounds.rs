//! Asks every subject for every thing, in turn: what slows the machine down for a while slows all
//! of them.

use std::process::Command;

use crate::lxc::Lxc;
use crate::plugin::Cost;
use crate::samples::Samples;
use crate::subject::{Failed, Subject, monitor_memory, timed};
use crate::wxc::Wxc;

/// Containers that idle at the same time while memory is looked at.
const IDLE: usize = 10;

/// Runs whose times are not kept: they fill caches.
const WARM: usize = 3;

/// The things measured, in the order of the report.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    Start,
    Once,
    Attach,
    Info,
    Kill,
    Memory,
}

impl Thing {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 6] =
        [Self::Start, Self::Once, Self::Attach, Self::Info, Self::Kill, Self::Memory];

    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("start, until RUNNING", "ms"),
            Self::Once => ("one command as init, in the foreground", "ms"),
            Self::Attach => ("attach -- /bin/true", "ms"),
            Self::Info => ("info -s", "ms"),
            Self::Kill => ("stop -k, until STOPPED", "ms"),
            Self::Memory => ("memory of the monitor of an idle container (PSS)", "KiB"),
        }
    }
}

/// One subject's samples, one list per thing.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    samples: [Samples; Thing::ALL.len()],
}

impl Column {
    pub(crate) fn of(&self, thing: Thing) -> &Samples {
        &self.samples[thing as usize]
    }

    fn keep(&mut self, thing: Thing) -> &mut Samples {
        &mut self.samples[thing as usize]
    }
}

/// Everything that was measured.
pub(crate) struct Results {
    /// LXC and wxc side by side: privileged, then with a user namespace.
    pub(crate) columns: Vec<Column>,
    /// What a program that does nothing costs here: no command can be quicker.
    pub(crate) floor: Samples,
    /// A throw-away container of the machine's own `/usr`, made, run and removed.
    pub(crate) throw_away: Samples,
    pub(crate) plugin: Cost,
}

pub(crate) fn measure(runs: usize) -> Result<Results, Failed> {
    // Not in /tmp, which may be memory.
    let place = tempfile::Builder::new().prefix("wxc-bench").tempdir_in("/var/tmp")?;
    let tree = wxc_tests::fixtures::busybox();
    let path = |name: &str| place.path().join(name);
    // In memory, as /run is wherever wxc is installed; here it may not be.
    let runtime = tempfile::Builder::new().prefix("wxc-bench").tempdir_in("/dev/shm")?;
    let wxc = |privileged| {
        let name = if privileged { "wp" } else { "wm" };
        Wxc { path: path(name), run: runtime.path().join(name), tree, privileged }
    };
    let subjects: Vec<Box<dyn Subject>> = vec![
        Box::new(Lxc { path: path("lp"), tree, mapped: false }),
        Box::new(wxc(true)),
        Box::new(Lxc { path: path("lm"), tree, mapped: true }),
        Box::new(wxc(false)),
    ];
    let mut columns: Vec<Column> =
        subjects.iter().map(|one| Column { name: one.name(), samples: Default::default() }).collect();
    let guards: Vec<Guard> = subjects.iter().map(|one| Guard(one.as_ref())).collect();
    for guard in &guards {
        for container in 0..IDLE {
            guard.0.create(&name(container))?;
        }
    }
    let mut floor = Samples::default();
    let mut throw_away = Samples::default();
    let mut plugin = Cost::default();
    let pool = path("pool");
    std::fs::create_dir(&pool)?;
    let run_one = wxc(false);
    for run in 0..runs + WARM {
        eprint!("\rrun {} of {} ", run + 1, runs + WARM);
        let keep = run >= WARM;
        for (guard, column) in guards.iter().zip(&mut columns) {
            for (thing, took) in cycle(guard.0)? {
                if keep {
                    column.keep(thing).time(took);
                }
            }
        }
        let took = timed(Command::new("/bin/true"))?;
        let mut run = run_one.command("run");
        run.args(["--", "/bin/true"]);
        let thrown = timed(run)?;
        if keep {
            floor.time(took);
            throw_away.time(thrown);
            plugin.sample(&pool)?;
        }
    }
    eprintln!();
    for (guard, column) in guards.iter().zip(&mut columns) {
        idle(guard.0, column.keep(Thing::Memory))?;
    }
    Ok(Results { columns, floor, throw_away, plugin })
}

fn name(container: usize) -> String {
    format!("b{container}")
}

/// The life of one container; the order is the only one possible.
fn cycle(subject: &dyn Subject) -> Result<[(Thing, std::time::Duration); 5], Failed> {
    let container = name(0);
    let start = timed(subject.start(&container))?;
    let info = timed(subject.state(&container))?;
    let attach = timed(subject.attach(&container, "/bin/true"))?;
    let kill = timed(subject.kill(&container))?;
    let once = timed(subject.once(&container, "/bin/true"))?;
    Ok([
        (Thing::Start, start),
        (Thing::Info, info),
        (Thing::Attach, attach),
        (Thing::Kill, kill),
        (Thing::Once, once),
    ])
}

/// Each monitor's memory while several idle.
fn idle(subject: &dyn Subject, samples: &mut Samples) -> Result<(), Failed> {
    for container in 0..IDLE {
        timed(subject.start(&name(container)))?;
    }
    for container in 0..IDLE {
        let kib = monitor_memory(subject, &name(container))?;
        samples.add(f64::from(u32::try_from(kib)?));
    }
    for container in 0..IDLE {
        timed(subject.kill(&name(container)))?;
    }
    Ok(())
}

/// Kills a subject's containers at the end, also after an error.
struct Guard<'a>(&'a dyn Subject);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        for container in 0..IDLE {
            // Most are stopped already, and say so.
            let _stopped = self.0.kill(&name(container)).output();
        }
    }
}
