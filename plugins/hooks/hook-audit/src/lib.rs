//! A log of what happens to containers.
//!
//! It acts at each event that it was told to record, before other hooks: an attempt that one of them refuses is in the log.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        with: {
            "wxc:host/types@0.1.0": happenings::contract::wxc::host::types,
            "wxc:hook/types@0.1.0": happenings::contract::wxc::hook::types,
        },
        generate_all,
    });
    export!(Audit with_types_in self);
    use super::Audit;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::host::{records, settings};
use happenings::contract::wxc::hook::types::{
    Change, Context, OnFailure, Patch, Step, Subscription, Verdict,
};
use happenings::contract::wxc::host::types::Error;
use happenings::{chosen, document, line};

struct Audit;

/// What `records` takes.
const LONGEST: usize = 16 << 10;
/// Before others.
const FIRST: i32 = -1000;
/// Milliseconds for one line.
const BUDGET: u32 = 2000;

impl Guest for Audit {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        wishes(
            &settings::get("events").unwrap_or_default(),
            settings::get("required").as_deref() == Some("true"),
        )
    }

    fn adjust(_context: Context) -> Result<Vec<Patch>, Error> {
        Ok(Vec::new())
    }

    fn validate(_context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        Ok(Verdict::Accept)
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        records::append(&line(&document(&context), LONGEST)).map(|()| None)
    }

    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

fn wishes(events: &str, required: bool) -> Result<Vec<Subscription>, Error> {
    let on_failure = if required { OnFailure::Abort } else { OnFailure::Warn };
    let wish = |event| Subscription { event, step: Step::Act, order: FIRST, on_failure, budget: BUDGET };
    Ok(chosen(events)?.into_iter().map(wish).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use happenings::contract::wxc::hook::types::Event;

    #[test]
    fn each_event_is_one_wish() {
        let all = wishes("stop create", false).unwrap();
        assert!(all.iter().map(|wish| wish.event).eq([Event::Stop, Event::Create]));
        assert!(all.iter().all(|wish| wish.on_failure == OnFailure::Warn && wish.step == Step::Act));
        assert!(wishes("stop", true).unwrap().iter().all(|wish| wish.on_failure == OnFailure::Abort));
        assert!(wishes("never", false).is_err());
    }
}
