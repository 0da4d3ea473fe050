//! Names for containers: nameservers in `/etc/resolv.conf` and entries in `/etc/hosts`, in a marked block of each file.
//!
//! It works when everything is mounted and nothing of the container's runs, so that the first program has them. What stands outside
//! of the marks is whoever's who wrote it, and stays.
#![deny(unsafe_code)]

/// The marked part of a text.
mod block;
/// Reading and writing the files.
mod files;
/// What the settings mean.
mod settings;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Resolver with_types_in self);
    use super::Resolver;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::types::{Error, ErrorKind};
use settings::Settings;

struct Resolver;

/// When, for what, what a failure means, and the milliseconds that it may take.
const WISHES: &[(Event, Step, OnFailure, u32)] = &[
    (Event::Create, Step::Validate, OnFailure::Abort, 200),
    (Event::Configure, Step::Validate, OnFailure::Abort, 200),
    (Event::PreStart, Step::Validate, OnFailure::Abort, 200),
    // A guest can make its own /etc unwritable, and is to start all the same.
    (Event::Mount, Step::Act, OnFailure::Warn, 2_000),
];

impl Guest for Resolver {
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

    fn adjust(_context: Context) -> Result<Vec<Patch>, Error> {
        Ok(Vec::new())
    }

    fn validate(context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        let read = Settings::read(&context.container.settings);
        Ok(read.map_or_else(Verdict::Refuse, |_| Verdict::Accept))
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        let settings = Settings::read(&context.container.settings)
            .map_err(|message| Error { kind: ErrorKind::Invalid, message })?;
        files::write(&settings).map(|()| None)
    }

    /// What it wrote is written anew by the next start, whatever became of this one.
    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}
