//! Events, told to a server of the administrator's.
#![deny(unsafe_code)]

/// What is sent.
mod message;

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
    export!(Webhook with_types_in self);
    use super::Webhook;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::host::{notify, settings};
use happenings::contract::wxc::hook::types::{
    Change, Context, OnFailure, Patch, Step, Subscription, Verdict,
};
use happenings::contract::wxc::host::types::{Error, ErrorKind};
use happenings::{chosen, word};

struct Webhook;

/// After others: what one of them refuses did not happen.
const LAST: i32 = 1000;

impl Guest for Webhook {
    fn subscribe() -> Result<Vec<Subscription>, Error> {
        url()?;
        let on_failure = match settings::get("required").as_deref() {
            Some("true") => OnFailure::Abort,
            _ => OnFailure::Warn,
        };
        let budget = number("timeout", 60)? * 1000;
        number("attempts", 10)?;
        let wish = |event| Subscription { event, step: Step::Act, order: LAST, on_failure, budget };
        Ok(chosen(&settings::get("events").unwrap_or_default())?.into_iter().map(wish).collect())
    }

    fn adjust(_context: Context) -> Result<Vec<Patch>, Error> {
        Ok(Vec::new())
    }

    fn validate(_context: Context, _changes: Vec<Change>) -> Result<Verdict, Error> {
        Ok(Verdict::Accept)
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        let body = message::body(&context);
        let post = notify::Message::new(&url()?, "application/json", body.as_bytes());
        post.set_header("x-wxc-event", word(context.event));
        if let Some(secret) = settings::get("secret").filter(|secret| !secret.is_empty()) {
            post.set_header("x-hub-signature-256", &message::signature(&secret, body.as_bytes()));
        }
        post.set_attempts(number("attempts", 10)?);
        message::judge(post.send()?).map(|()| None)
    }

    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

fn url() -> Result<String, Error> {
    settings::get("url").ok_or_else(|| {
        let message = "nobody says where to: set `url` below [plugins.hook-webhook] in wxc.toml".into();
        Error { kind: ErrorKind::Invalid, message }
    })
}

fn number(key: &str, most: u32) -> Result<u32, Error> {
    let text = settings::get(key).unwrap_or_default();
    text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        let message =
            format!("[plugins.hook-webhook] {key} is {text:?} in wxc.toml, and 1 to {most} would do");
        Error { kind: ErrorKind::Invalid, message }
    })
}
