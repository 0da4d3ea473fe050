//! A hook that does outside what its settings for a container say: it downloads, sends messages, runs a program, writes records.
//! Never to be used.
//!
//! `change-N = "CASE A B"` is a change of a start. `at-EVENT = "VERB ARGUMENTS"` is what it does when it acts, `undo` when that is undone, and `pure` what it tries where nothing
//! may be done. What it was answered is kept, a line each; for `pure` it is a label.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Messenger with_types_in self);
    use super::Messenger;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{
    Change, Context, Device, Event, Mount, MountSource, OnFailure, Patch, Step, Subscription, Verdict,
};
use bindings::wxc::host::types::{Error, Pair};
use bindings::wxc::host::{commands, fetch, notify, records, settings, store, trust};

struct Messenger;

/// Milliseconds of each call.
const BUDGET: u32 = 3000;

const EVENTS: [(Event, &str); 3] =
    [(Event::PreStart, "pre-start"), (Event::StartHost, "start-host"), (Event::Started, "started")];

impl Guest for Messenger {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let wish = |event, step| Subscription {
            event,
            step,
            order: 0,
            on_failure: OnFailure::Abort,
            budget: BUDGET,
        };
        let acts = EVENTS.iter().map(|(event, _)| wish(*event, Step::Act));
        Ok(acts.chain([wish(Event::PreStart, Step::Adjust)]).collect())
    }

    fn adjust(context: Context) -> Result<Vec<Patch>, Error> {
        let settings = context.container.settings.iter();
        let changes = settings.filter(|s| s.name.starts_with("change-")).filter_map(|s| patch(&s.value));
        let said = setting(&context, "pure")
            .map(|words| Patch::SetLabel(Pair { name: "said".into(), value: answer(words) }));
        Ok(changes.chain(said).collect())
    }

    fn validate(_context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        Ok(Verdict::Accept)
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        let word = EVENTS.iter().find(|(event, _)| *event == context.event).map_or("", |(_, word)| *word);
        if let Some(words) = setting(&context, &format!("at-{word}")) {
            keep(&answer(words))?;
        }
        Ok(Some(Vec::new()))
    }

    fn undo(context: Context, _token: Vec<u8>) -> Result<(), Error> {
        setting(&context, "undo").map_or(Ok(()), |words| keep(&answer(words)))
    }
}

fn patch(words: &str) -> Option<Patch> {
    let mut words = words.split(' ');
    let (case, name) = (words.next()?, words.next()?.to_owned());
    let more = words.next().unwrap_or_default();
    Some(match case {
        "add-device" => {
            Patch::AddDevice(Device { name, read: !more.contains('w'), write: !more.contains('r') })
        }
        "remove-device" => Patch::RemoveDevice(name),
        "add-address" => Patch::AddAddress((name, more.to_owned())),
        "add-memory" => Patch::AddMount(Mount {
            source: MountSource::Memory(65536),
            target: name,
            options: more.split(',').map(str::to_owned).collect(),
        }),
        _ => return None,
    })
}

fn setting<'a>(context: &'a Context, name: &str) -> Option<&'a str> {
    let settings = &context.container.settings;
    settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
}

fn keep(line: &str) -> Result<(), Error> {
    let mut all = store::get("said")?.unwrap_or_default();
    all.extend_from_slice(format!("{line}\n").as_bytes());
    store::set("said", &all)
}

/// What came of it, in one line.
fn answer(words: &str) -> String {
    match run(words) {
        Ok(said) => said,
        Err(error) => format!("{:?}: {}", error.kind, error.message),
    }
}

fn run(words: &str) -> Result<String, Error> {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    match verb {
        "fetch" => {
            let answer = fetch::Request::new(&address(rest)).send()?;
            Ok(format!("{} {}", answer.status(), String::from_utf8_lossy(&answer.body()).trim()))
        }
        "post" => post(rest, 1, b"hello"),
        "insist" => post(rest, 3, b"hello"),
        "post-much" => post(rest, 1, &vec![b'x'; 300 << 10]),
        "nap" => {
            let nap = commands::Command::new("nap");
            nap.set_number("seconds", rest.parse().unwrap_or_default());
            nap.run().map(|_| "rested".to_owned())
        }
        "record" => records::append(rest).map(|()| "recorded".to_owned()),
        "record-lines" => records::append("one\ntwo").map(|()| "recorded".to_owned()),
        "keyring" => Ok(trust::has_keyring(rest).to_string()),
        "verify" => trust::verify(rest, b"content", b"signature"),
        _ => Ok(format!("there is no {verb}")),
    }
}

/// What begins with a slash is below the administrator's server.
fn address(path: &str) -> String {
    let url = settings::get("url").unwrap_or_default();
    if path.starts_with('/') { format!("{url}{path}") } else { path.to_owned() }
}

fn post(path: &str, attempts: u32, body: &[u8]) -> Result<String, Error> {
    let (path, header) = path.split_once(' ').unwrap_or((path, "x-wxc-event"));
    let message = notify::Message::new(&address(path), "text/plain", body);
    message.set_header(header, "test");
    message.set_attempts(attempts);
    message.send().map(|status| status.to_string())
}
