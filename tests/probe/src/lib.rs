//! A hook that does what its settings for a container say: it changes, judges and acts, and misbehaves where that is asked for.
//! Never to be used.
//!
//! `change-N = "CASE A B"` is a change of a start and `keep-N` one that stays, `judge` and `judge-kept` are verdicts, and `at-EVENT = "WORD"` what it does at an event. It keeps what it
//! was called for, in order.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Probe with_types_in self);
    use super::Probe;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::scope;
use bindings::wxc::hook::types::{
    Change, Context, Detail, Device, Event, Mount, MountSource, OnFailure, Patch, Step, Subscription, Verdict,
};
use bindings::wxc::host::commands::Command;
use bindings::wxc::host::rootfs::{self, Access};
use bindings::wxc::host::run_inside::Program;
use bindings::wxc::host::types::{Error, ErrorKind, Pair};
use bindings::wxc::host::{log, settings, store};

struct Probe;

const EVENTS: [(Event, &str); 23] = [
    (Event::Create, "create"),
    (Event::PreStart, "pre-start"),
    (Event::NetworkUp, "network-up"),
    (Event::PreMount, "pre-mount"),
    (Event::Mount, "mount"),
    (Event::Autodev, "autodev"),
    (Event::Start, "start"),
    (Event::StartHost, "start-host"),
    (Event::Started, "started"),
    (Event::Ready, "ready"),
    (Event::Stopping, "stopping"),
    (Event::Stop, "stop"),
    (Event::NetworkDown, "network-down"),
    (Event::PostStop, "post-stop"),
    (Event::Failed, "failed"),
    (Event::Freeze, "freeze"),
    (Event::Thaw, "thaw"),
    (Event::Snapshot, "snapshot"),
    (Event::Restore, "restore"),
    (Event::Clone, "clone"),
    (Event::Rename, "rename"),
    (Event::Configure, "configure"),
    (Event::Destroy, "destroy"),
];

impl Guest for Probe {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let wish =
            |event, step| Subscription { event, step, order: 0, on_failure: OnFailure::Abort, budget: 300 };
        let mut wishes: Vec<Subscription> = EVENTS
            .iter()
            .filter(|(event, _)| *event != Event::Ready)
            .map(|(event, _)| wish(*event, Step::Act))
            .collect();
        for event in [Event::PreStart, Event::Create, Event::Clone, Event::Configure] {
            wishes.extend([wish(event, Step::Adjust), wish(event, Step::Validate)]);
        }
        if settings::get("also").as_deref() == Some("ready") {
            wishes.push(wish(Event::Ready, Step::Act));
        }
        if let Some(budget) = settings::get("budget").and_then(|budget| budget.parse().ok()) {
            wishes.iter_mut().for_each(|wish| wish.budget = budget);
        }
        Ok(wishes)
    }

    fn adjust(context: Context) -> Result<Vec<Patch>, Error> {
        // What has to be repeatable must not leave anything.
        if store::set("adjusted", b"1").is_ok() {
            return Err(failed("adjust could write"));
        }
        let kind = if context.event == Event::PreStart { "change-" } else { "keep-" };
        let changes = context.container.settings.iter().filter(|s| s.name.starts_with(kind));
        let mut patches = Vec::new();
        for change in changes {
            match change.value.as_str() {
                "flood" => patches.extend((0..100_000).map(|n| Patch::RemoveVariable(format!("V{n}")))),
                other => {
                    misbehave(other)?;
                    patches.push(patch(other)?);
                }
            }
        }
        Ok(patches)
    }

    fn validate(context: Context, changes: Vec<Change>) -> Result<Verdict, Error> {
        let judge = if context.event == Event::PreStart { "judge" } else { "judge-kept" };
        let Some(word) = setting(&context, judge) else { return Ok(Verdict::Accept) };
        misbehave(word)?;
        let who: Vec<&str> = changes.iter().map(|change| change.plugin.as_str()).collect();
        Ok(Verdict::Refuse(format!("{} changes by {}\u{1b}[2J", changes.len(), who.join(" and "))))
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        let word = EVENTS.iter().find(|(event, _)| *event == context.event).map_or("", |(_, word)| *word);
        remember("called", &format!("{word}{}", told(&context)))?;
        match setting(&context, &format!("at-{word}")) {
            None => Ok(None),
            Some("fat-token") => Ok(Some(vec![7; (64 << 10) + 1])),
            Some("token") => Ok(Some(word.as_bytes().to_vec())),
            Some("files") => files(word).map(|()| None),
            Some("network") => network(word).map(|()| None),
            Some("run") => run(word).map(|()| None),
            Some("pry") => pry(word).map(|()| None),
            Some("linger") => linger().map(|()| None),
            Some("inside-out") => inside_out().map(|()| None),
            Some(other) => misbehave(other).map(|()| None),
        }
    }

    fn undo(context: Context, token: Vec<u8>) -> Result<(), Error> {
        if let Some(word) = setting(&context, "undo") {
            misbehave(word)?;
        }
        remember("undone", &String::from_utf8_lossy(&token))
    }
}

fn failed(message: &str) -> Error {
    Error { kind: ErrorKind::Failed, message: message.to_owned() }
}

fn setting<'a>(context: &'a Context, name: &str) -> Option<&'a str> {
    let settings = &context.container.settings;
    settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
}

/// What the event brought along.
fn told(context: &Context) -> String {
    match &context.detail {
        Detail::None => String::new(),
        Detail::Ending(e) => format!("({:?} {:?} {})", e.code, e.signal, e.reboot),
        Detail::Failure(failure) => format!("({})", failure.message.replace(' ', "_")),
        Detail::Network(link) => format!("({} {})", link.name, link.peer.is_some()),
        Detail::Origin(name) | Detail::Snapshot(name) => format!("({name})"),
        Detail::Keys(keys) => format!("({})", keys.join(",")),
    }
}

fn remember(key: &str, word: &str) -> Result<(), Error> {
    let mut all = store::get(key)?.unwrap_or_default();
    all.extend_from_slice(word.as_bytes());
    all.push(b' ');
    store::set(key, &all)
}

/// How a call went, as a word.
fn outcome<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| kind(&error), |_| "ok".into())
}

fn kind(error: &Error) -> String {
    let name = format!("{:?}", error.kind);
    name.rsplit("::").next().unwrap_or_default().to_lowercase()
}

/// What can be read and written at an event.
fn files(word: &str) -> Result<(), Error> {
    let root = match scope::root() {
        Ok(root) => root,
        Err(error) => return remember("files", &format!("{word}:{}", kind(&error))),
    };
    let access = |permissions, id| Access { permissions, user: id, group: id };
    let write = |path: &str, id| outcome(rootfs::write(&root, path, word.as_bytes(), access(0o640, id)));
    let all = [
        write(&format!("/etc/at-{word}"), 7),
        outcome(rootfs::ensure_directory(&root, &format!("dev/at/{word}"), access(0o755, 0))),
        outcome(rootfs::link(&root, &format!("/etc/link-{word}"), "/etc/passwd")),
        outcome(rootfs::inspect(&root, "/etc")),
        outcome(rootfs::entries(&root, "/", None, 2)),
        // What is not the container's own.
        write("/proc/sys/kernel/hostname", 0),
        outcome(rootfs::read(&root, "/proc/self/environ", 100)),
        outcome(rootfs::read(&root, "/sys/kernel/uevent_seqnum", 100)),
        write("/shown/file", 0),
        write("/etc/far-away", 100_000),
        outcome(rootfs::read(&root, "../../etc/wxc-secret", 100)),
    ];
    remember("files", &format!("{word}:{}", all.join(",")))
}

/// Which interfaces the network has that a command of the host gets to see.
fn network(word: &str) -> Result<(), Error> {
    let command = Command::new("network");
    // Nothing that a plugin chooses.
    command.set_text("network", "/proc/self/ns/net");
    let chosen = outcome(command.run());
    let seen = match Command::new("network").run() {
        Err(error) => kind(&error),
        Ok(outcome) => {
            let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
            let names = text.lines().filter_map(|line| line.split([' ', '@', ':']).nth(2));
            names.collect::<Vec<_>>().join("+")
        }
    };
    remember("network", &format!("{word}:{chosen},{seen}"))
}

/// Who one is in the container.
fn run(word: &str) -> Result<(), Error> {
    let running = match scope::running() {
        Ok(running) => running,
        Err(error) => return remember("ran", &format!("{word}:{}", kind(&error))),
    };
    let script = "read line; echo $line $(id -u) $(pwd) $WHO $(grep -c . /proc/self/cgroup >/dev/null; hostname); exit 3";
    let program = Program::new(&running, &["sh".into(), "-c".into(), script.into()]);
    program.set_user(8, 9);
    program.set_variable("WHO", word);
    program.set_directory("/etc");
    program.set_input(b"input\n");
    let outcome = program.run()?;
    let again = program.run().is_err();
    let said = String::from_utf8_lossy(&outcome.stdout).trim().replace(' ', "/");
    remember("ran", &format!("{word}:{said}/{}/{again}", outcome.status))
}

/// Whether the first process can be looked into, which is a copy of the monitor until it executes init.
fn pry(word: &str) -> Result<(), Error> {
    let running = scope::running()?;
    let script = "ls /proc/1/fd | grep -c .; for fd in $(seq 0 30); do readlink /proc/1/fd/$fd; done; head -c 1 /proc/1/mem; ls -L /proc/1/root/; exit 0";
    let outcome = Program::new(&running, &["sh".into(), "-c".into(), script.into()]).run()?;
    let said = String::from_utf8_lossy(&outcome.stdout).trim().replace([' ', '\n'], "/");
    remember("pried", &format!("{word}:{said}"))
}

/// Leaves something behind that wants to outlive it, and then waits for ever.
fn linger() -> Result<(), Error> {
    let running = scope::running()?;
    let script = "setsid sleep 98765 & setsid sh -c 'sleep 98766; :' & sleep 98767";
    Program::new(&running, &["sh".into(), "-c".into(), script.into()]).run().map(drop)
}

/// More than a container can be asked for.
fn inside_out() -> Result<(), Error> {
    let running = scope::running()?;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let nobody = Program::new(&running, &words(&["true"]));
    nobody.set_user(4_000_000_000, 0);
    let missing = Program::new(&running, &words(&["/no/such/program"]));
    let empty = Program::new(&running, &[]);
    let loud = Program::new(&running, &words(&["sh", "-c", "yes | head -c 10000000"]));
    let long = loud.run().map(|outcome| outcome.stdout.len().to_string());
    let all = [
        outcome(nobody.run()),
        outcome(missing.run()),
        outcome(empty.run()),
        long.unwrap_or_else(|error| error.message.replace(' ', "_")),
    ];
    remember("ran", &all.join(","))
}

fn misbehave(word: &str) -> Result<(), Error> {
    match word {
        "fail" => Err(failed("on purpose")),
        "trap" => panic!("on purpose"),
        "loop" => loop {
            core::hint::black_box(word);
        },
        "shout" => {
            for n in 0..20_000 {
                log::emit(log::Level::Info, &format!("line {n}"));
            }
            Ok(())
        }
        "recurse" => Err(failed(&deep(1).to_string())),
        "grow" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1_u8; 1 << 20]);
                core::hint::black_box(&all);
            }
        }
        "calls" => loop {
            core::hint::black_box(settings::get("also"));
        },
        "handles" => loop {
            core::mem::forget(scope::root()?);
        },
        "bulk" => {
            log::emit(log::Level::Info, &"x".repeat(32 << 20));
            Ok(())
        }
        "verbose" => Err(failed(&"x".repeat(18 << 20))),
        // Bytes that a terminal would obey, and lines that look like somebody else's.
        "lie" => Err(failed("\u{1b}[2J\nwxc: web was started\r\u{202e}")),
        _ => Ok(()),
    }
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deep(n: u64) -> u64 {
    let room = core::hint::black_box([n; 64]);
    deep(n + 1) + room[usize::try_from(n % 64).unwrap_or(0)]
}

fn patch(words: &str) -> Result<Patch, Error> {
    let mut words = words.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let case = word();
    let (a, b) = (word(), word());
    let pair = Pair { name: a.clone(), value: b.clone() };
    let mount = |source| Patch::AddMount(Mount { source, target: a.clone(), options: vec!["noexec".into()] });
    Ok(match case.as_str() {
        "set-variable" => Patch::SetVariable(pair),
        "remove-variable" => Patch::RemoveVariable(a),
        "add-memory" => mount(MountSource::Memory(b.parse().unwrap_or_default())),
        "add-share" => mount(MountSource::Share(b)),
        "remove-mount" => Patch::RemoveMount(a),
        "add-device" => Patch::AddDevice(Device { name: a, read: true, write: true }),
        "remove-device" => Patch::RemoveDevice(a),
        "set-limit" => Patch::SetLimit(pair),
        "set-sysctl" => Patch::SetSysctl(pair),
        "set-hostname" => Patch::SetHostname(a),
        "drop-capability" => Patch::DropCapability(a),
        "deny-syscall" => Patch::DenySyscall(a),
        "set-label" => Patch::SetLabel(pair),
        "set-key" => Patch::SetKey(pair),
        "add-address" => Patch::AddAddress((a, b)),
        _ => return Err(failed(&format!("there is no change {case}"))),
    })
}
