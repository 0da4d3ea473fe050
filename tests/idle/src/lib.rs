//! A hook that is called and does nothing: what is measured is the call.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Idle with_types_in self);
    use super::Idle;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::settings;
use bindings::wxc::host::types::Error;

struct Idle;

impl Guest for Idle {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let event = if settings::get("at").as_deref() == Some("start-host") {
            Event::StartHost
        } else {
            Event::PreStart
        };
        let wish =
            Subscription { event, step: Step::Act, order: 0, on_failure: OnFailure::Abort, budget: 1000 };
        Ok(vec![wish])
    }

    fn adjust(_: Context) -> Result<Vec<Patch>, Error> {
        Ok(Vec::new())
    }

    fn validate(_: Context, _: Vec<Change>) -> Result<Verdict, Error> {
        Ok(Verdict::Accept)
    }

    fn act(_: Context) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    fn undo(_: Context, _: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}
