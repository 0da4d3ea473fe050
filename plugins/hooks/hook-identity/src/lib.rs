//! What makes a system itself and not its copy, as far as wxc does not see to it: the host keys of SSH, and files that the
//! administrator names.
//!
//! Two moments. When a copy was made, what is only the original's is removed from its files. When the copy starts for the first
//! time, and its first process still waits, the copy's own tool makes the keys again: no server runs yet that could miss
//! them, and nobody of the copy's who could make them at the same time.
#![deny(unsafe_code)]

/// Making keys, when the copy starts.
mod again;
/// Finding and removing files, when the copy was made.
mod gone;
/// An absolute path whose last part may have stars.
mod pattern;
/// Which servers have which keys, and how they are made.
mod servers;
/// What the settings mean.
mod settings;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Identity with_types_in self);
    use super::Identity;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::types::{Error, ErrorKind};
use settings::Settings;

struct Identity;

/// When, for what, what a failure means, and the milliseconds that it may take.
const WISHES: &[(Event, Step, OnFailure, u32)] = &[
    (Event::Configure, Step::Validate, OnFailure::Abort, 200),
    (Event::Clone, Step::Validate, OnFailure::Abort, 200),
    // A copy that still has the original's keys is not one to be used.
    (Event::Clone, Step::Act, OnFailure::Abort, 5_000),
    // Without keys a server does not run, and the rest of the container does.
    (Event::Start, Step::Act, OnFailure::Warn, 30_000),
];

impl Guest for Identity {
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
        match context.event {
            Event::Clone => gone::remove(&settings)?,
            Event::Start if settings.ssh_keys => again::make()?,
            _ => {}
        }
        Ok(None)
    }

    /// What it removes, it removes from a copy, which goes as a whole when it is not made.
    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}
