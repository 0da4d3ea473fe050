//! A hook with one fault that is chosen by its setting `fault`, and with none otherwise: it shows that the suite finds each of them,
//! and that it is the fault which is found. Never to be used.
//!
//! Without a fault it is an honest hook: it sets a variable, refuses privileged containers, counts what it does and takes it back.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/hook"],
        inline: "
            package wxc:hook-faulty;
            world plugin {
                include wxc:hook/hook-base@0.1.0;
                import wxc:host/commands@0.1.0;
                import wxc:host/store@0.1.0;
                import wasi:random/random@0.2.0;
            }
            package wasi:random@0.2.0 {
                interface random { get-random-u64: func() -> u64; }
            }
        ",
        world: "wxc:hook-faulty/plugin",
        generate_all,
    });
    export!(Faulty with_types_in self);
    use super::Faulty;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wasi::random::random::get_random_u64;
use bindings::wxc::hook::types::{
    Change, Context, Detail, Event, OnFailure, Patch, Step, Subscription, Verdict,
};
use bindings::wxc::host::commands::Command;
use bindings::wxc::host::types::{Error, ErrorKind, Pair};
use bindings::wxc::host::{settings, store};

struct Faulty;

/// Whether this is the fault that was chosen.
fn fault(name: &str) -> bool {
    settings::get("fault").as_deref() == Some(name)
}

fn error(message: &str) -> Error {
    Error { kind: ErrorKind::Failed, message: message.to_owned() }
}

fn pair(name: &str, value: impl Into<String>) -> Pair {
    Pair { name: name.to_owned(), value: value.into() }
}

/// Something that takes longer the more there is, out of proportion.
fn dawdle(context: &Context) {
    let names: Vec<&str> = context.plan.environment.iter().map(|p| p.name.as_str()).collect();
    let mut pairs = 0_u64;
    for a in &names {
        for b in &names {
            for c in &names {
                pairs += core::hint::black_box(u64::from(a < b && b < c));
            }
        }
    }
    core::hint::black_box(pairs);
}

fn run() -> Result<(), Error> {
    Command::new("nothing").run().map(|_| ())
}

const ACTS: [Event; 6] =
    [Event::PreStart, Event::Stop, Event::NetworkUp, Event::Snapshot, Event::Configure, Event::Failed];

impl Guest for Faulty {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        if fault("wishes-run") {
            let _denied = run();
        }
        let wish =
            |event, step| Subscription { event, step, order: 0, on_failure: OnFailure::Abort, budget: 200 };
        let mut wishes: Vec<Subscription> = ACTS.iter().map(|event| wish(*event, Step::Act)).collect();
        for event in [Event::PreStart, Event::Clone] {
            wishes.extend([wish(event, Step::Adjust), wish(event, Step::Validate)]);
        }
        if fault("wishes-misplaced") {
            wishes.push(wish(Event::Stop, Step::Adjust));
        }
        if fault("wishes-change") && store::get("done")?.is_some() {
            wishes.pop();
        }
        Ok(wishes)
    }

    fn adjust(context: Context) -> Result<Vec<Patch>, Error> {
        if fault("adjust-panics") && context.container.name.contains('.') {
            panic!("on purpose");
        }
        if fault("adjust-slow") {
            dawdle(&context);
        }
        if fault("adjust-runs") {
            let _denied = run();
        }
        if fault("adjust-keeps") {
            let _denied = store::set("adjusted", b"1");
        }
        let value = if fault("adjust-random") { get_random_u64().to_string() } else { "yes".to_owned() };
        let mut patches = vec![Patch::SetVariable(pair("HOOKED", value))];
        if fault("adjust-undeclared") {
            patches.push(Patch::SetHostname("elsewhere".to_owned()));
        }
        if fault("adjust-nonsense") {
            patches.push(Patch::SetLimit(pair("memory.max", "\"much\"")));
        }
        if fault("adjust-contradicts") {
            patches.push(Patch::SetVariable(pair("HOOKED", "no")));
        }
        Ok(patches)
    }

    fn validate(context: Context, changes: Vec<Change>) -> Result<Verdict, Error> {
        if fault("validate-panics") && context.plan.init.is_empty() {
            panic!("on purpose");
        }
        if fault("validate-slow") && changes.len() > 100 {
            dawdle(&context);
        }
        if fault("validate-runs") {
            let _denied = run();
        }
        if fault("validate-random") && get_random_u64() % 16 != 0 {
            return Ok(Verdict::Refuse(format!("not today ({})", get_random_u64())));
        }
        let privileged = context.container.privileged;
        Ok(match privileged {
            true if fault("verdict-empty") => Verdict::Refuse(" ".to_owned()),
            true if fault("verdict-lines") => Verdict::Refuse("it is privileged\nand that is bad".to_owned()),
            true => Verdict::Refuse("it is privileged".to_owned()),
            false => Verdict::Accept,
        })
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        if fault("act-panics") {
            if let Detail::Ending(ending) = &context.detail {
                assert!(ending.code.is_some(), "on purpose");
            }
        }
        if fault("act-token") {
            return Ok(Some(vec![0; 65_537]));
        }
        store::set("done", format!("{:?}", context.event).as_bytes())?;
        Ok(Some(b"done".to_vec()))
    }

    fn undo(_context: Context, token: Vec<u8>) -> Result<(), Error> {
        if fault("undo-fails") {
            return Err(error("it cannot be taken back"));
        }
        if fault("undo-panics") {
            let word = core::str::from_utf8(&token).unwrap();
            assert!(!word.is_empty(), "on purpose");
        }
        if token != b"done" {
            return Err(error("this is no token of mine"));
        }
        if fault("undo-once") && store::get("done")?.is_none() {
            return Err(error("there is nothing left to take back"));
        }
        store::remove("done")
    }
}
