//! Graphics processors for containers: nodes, libraries and variables.
#![deny(unsafe_code)]

/// What the settings say.
mod choice;
/// Which changes that makes.
mod devices;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Gpu with_types_in self);
    use super::Gpu;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::types::Error;

struct Gpu;

impl Guest for Gpu {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let (event, step, on_failure) = (Event::PreStart, Step::Adjust, OnFailure::Abort);
        Ok(vec![Subscription { event, step, order: 0, on_failure, budget: 200 }])
    }

    fn adjust(context: Context) -> Result<Vec<Patch>, Error> {
        choice::Choice::read(&context.container.settings).map(|choice| devices::patches(&choice))
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
