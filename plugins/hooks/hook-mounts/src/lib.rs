//! Directories of the host for containers: each of the hook's settings is one mount of a share.
#![deny(unsafe_code)]

/// What a setting means.
mod mounts;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Mounts with_types_in self);
    use super::Mounts;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::settings;
use bindings::wxc::host::types::Error;

struct Mounts;

impl Guest for Mounts {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let (event, step, on_failure) = (Event::PreStart, Step::Adjust, OnFailure::Abort);
        Ok(vec![Subscription { event, step, order: 0, on_failure, budget: 200 }])
    }

    fn adjust(context: Context) -> Result<Vec<Patch>, Error> {
        let read_only = settings::get("read-only").unwrap_or_default();
        mounts::patches(&context.container.settings, &read_only)
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
