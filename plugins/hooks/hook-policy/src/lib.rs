//! House rules: what must be true of every container before it starts.
//!
//! It judges and changes nothing, and judges last, after every hook's changes: what another hook makes of a container
//! does not get past it.
#![deny(unsafe_code)]

/// The rules themselves, free of the host.
mod rules;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Policy with_types_in self);
    use super::Policy;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::settings;
use bindings::wxc::host::types::Error;

struct Policy;

impl Guest for Policy {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        Ok(vec![Subscription {
            event: Event::PreStart,
            step: Step::Validate,
            order: 0,
            on_failure: OnFailure::Abort,
            budget: 200,
        }])
    }

    fn adjust(_context: Context) -> Result<Vec<Patch>, Error> {
        Ok(Vec::new())
    }

    fn validate(context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        let broken = rules::broken(&context, &rules::Rules::read(settings::get));
        Ok(broken.map_or(Verdict::Accept, Verdict::Refuse))
    }

    fn act(_context: Context) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}
