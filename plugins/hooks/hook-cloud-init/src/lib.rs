//! A seed for cloud-init: what a cloud would tell a machine, in files of the container (the data source NoCloud).
//!
//! It is written before the first program runs. A copy is told that it is another instance, so that its cloud-init does once more
//! what it does once for a machine.
#![deny(unsafe_code)]

/// Reading and writing the seed.
mod files;
/// Which instance a container is.
mod instance;
/// The interfaces of the plan, as cloud-init has them configured.
mod network;
/// The texts of the seed.
mod seed;
/// What the settings mean.
mod settings;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(CloudInit with_types_in self);
    use super::CloudInit;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::types::{Error, ErrorKind};
use settings::Settings;

struct CloudInit;

/// When, for what, and the milliseconds that it may take. A machine that was not told who may log in is of no use, so every failure
/// ends what was wanted.
const WISHES: &[(Event, Step, u32)] = &[
    (Event::Create, Step::Validate, 200),
    (Event::Configure, Step::Validate, 200),
    (Event::Clone, Step::Act, 2_000),
    (Event::PreStart, Step::Validate, 200),
    (Event::Mount, Step::Act, 2_000),
];

impl Guest for CloudInit {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let wish = |&(event, step, budget): &(Event, Step, u32)| Subscription {
            event,
            step,
            order: 0,
            on_failure: OnFailure::Abort,
            budget,
        };
        Ok(WISHES.iter().map(wish).collect())
    }

    fn adjust(_context: Context) -> Result<Vec<Patch>, Error> {
        Ok(Vec::new())
    }

    fn validate(context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        let checked = Settings::read(&context.container.settings).and_then(|settings| {
            // One setting is made after the other: whether they go together is asked when it matters.
            let complete = context.event == Event::PreStart;
            if complete { network::config(&settings, &context.plan.interfaces).map(drop) } else { Ok(()) }
        });
        Ok(checked.map_or_else(Verdict::Refuse, |()| Verdict::Accept))
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        let invalid = |message| Error { kind: ErrorKind::Invalid, message };
        let settings = Settings::read(&context.container.settings).map_err(invalid)?;
        let network = network::config(&settings, &context.plan.interfaces).map_err(invalid)?;
        files::write(&context, &settings, network.as_deref()).map(|()| None)
    }

    /// What it wrote is written anew by the next start, whatever became of this one.
    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}
