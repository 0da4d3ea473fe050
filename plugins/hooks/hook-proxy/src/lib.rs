//! Which proxy leads out of a network: in variables for the programs of a container, and in a file for its apt.
#![deny(unsafe_code)]

/// The file for apt.
mod apt;
/// What the settings mean.
mod settings;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Proxy with_types_in self);
    use super::Proxy;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::types::{Error, ErrorKind, Pair};
use settings::Settings;

struct Proxy;

/// When, for what, what a failure means, and the milliseconds that it may take.
const WISHES: &[(Event, Step, OnFailure, u32)] = &[
    (Event::Create, Step::Validate, OnFailure::Abort, 200),
    (Event::Configure, Step::Validate, OnFailure::Abort, 200),
    (Event::PreStart, Step::Adjust, OnFailure::Abort, 200),
    // A guest can make its own /etc unwritable, and is to start all the same.
    (Event::Mount, Step::Act, OnFailure::Warn, 1_000),
];

impl Guest for Proxy {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let wish = |&(event, step, on_failure, budget): &(Event, Step, OnFailure, u32)| Subscription {
            event,
            step,
            order: 0,
            on_failure,
            budget,
        };
        Ok(WISHES.iter().map(wish).collect())
    }

    fn adjust(context: Context) -> Result<Vec<Patch>, Error> {
        let set = |(name, value): (&str, String)| Patch::SetVariable(Pair { name: name.to_owned(), value });
        Ok(read(&context)?.variables().into_iter().map(set).collect())
    }

    fn validate(context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        let read = Settings::read(&context.container.settings);
        Ok(read.map_or_else(Verdict::Refuse, |_| Verdict::Accept))
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        apt::write(&read(&context)?).map(|()| None)
    }

    /// What it wrote is written anew by the next start, whatever became of this one.
    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

fn read(context: &Context) -> Result<Settings, Error> {
    Settings::read(&context.container.settings).map_err(|message| Error { kind: ErrorKind::Invalid, message })
}
