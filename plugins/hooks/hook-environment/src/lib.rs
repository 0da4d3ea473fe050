//! Variables for containers: each of the hook's settings is one. A setting without a text takes the variable away.
//!
//! The smallest hook, and the first to read. It proposes and does nothing itself, so it asks for nothing but its grant to
//! change variables.
#![deny(unsafe_code)]

/// What the settings mean.
mod variables;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Environment with_types_in self);
    use super::Environment;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::types::Error;

struct Environment;

impl Guest for Environment {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let wish =
            |event, step| Subscription { event, step, order: 0, on_failure: OnFailure::Abort, budget: 200 };
        Ok(vec![wish(Event::PreStart, Step::Adjust)])
    }

    fn adjust(context: Context) -> Result<Vec<Patch>, Error> {
        variables::patches(&context.container.settings)
    }

    fn validate(_context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        Ok(Verdict::Accept)
    }

    fn act(_context: Context) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}
