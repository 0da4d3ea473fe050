//! A hook: a role for containers, and how often they were started. Each function stands in `wit/deps/hook/hook.wit`.

/// What the settings of a container mean.
mod role;

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{
    Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict,
};
use bindings::wxc::host::log::{self, Level};
use bindings::wxc::host::types::{Error, ErrorKind, Pair};
use bindings::wxc::host::{settings, store};

/// Where the starts of a container are counted, in this hook's store for it.
const STARTS: &str = "starts";

struct Plugin;

impl Guest for Plugin {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        let wish = |step| Subscription {
            event: Event::PreStart,
            step,
            order: 0,
            on_failure: OnFailure::Abort,
            // Milliseconds that one call may take.
            budget: 1000,
        };
        Ok([Step::Adjust, Step::Validate, Step::Act].map(wish).into())
    }

    fn adjust(context: Context) -> Result<Vec<Patch>, Error> {
        let role = role::of(&pairs(&context)).map_err(invalid)?;
        let variable =
            role.map(|role| Patch::SetVariable(Pair { name: "ROLE".into(), value: role.into() }));
        Ok(variable.into_iter().collect())
    }

    fn validate(context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        let required = settings::get("required").is_some_and(|value| value == "true");
        let role = role::of(&pairs(&context)).map_err(invalid)?;
        Ok(match role {
            None if required => {
                Verdict::Refuse("every container needs a role: set `role` of this hook".into())
            }
            _ => Verdict::Accept,
        })
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        let before = store::get(STARTS)?.unwrap_or_default();
        let starts = role::count(&before) + 1;
        store::set(STARTS, starts.to_string().as_bytes())?;
        log::emit(Level::Info, &format!("{}: start number {starts}", context.container.name));
        Ok(Some(before))
    }

    /// Sets what was there before; doing so again changes nothing.
    fn undo(_context: Context, token: Vec<u8>) -> Result<(), Error> {
        if token.is_empty() { store::remove(STARTS) } else { store::set(STARTS, &token) }
    }
}

fn pairs(context: &Context) -> Vec<(&str, &str)> {
    context
        .container
        .settings
        .iter()
        .map(|pair| (pair.name.as_str(), pair.value.as_str()))
        .collect()
}

fn invalid(message: String) -> Error {
    Error { kind: ErrorKind::Invalid, message }
}
