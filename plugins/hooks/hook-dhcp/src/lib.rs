//! Addresses for containers without a DHCP client: a client of the host asks in the container's network, before the first program of the
//! container runs.
//!
//! The client talks to strangers, so it runs as nobody; what it learned comes back as text, of which only what is an address, a number or a
//! name goes further.
#![deny(unsafe_code)]

/// From the answer of a client to a lease.
mod lease;
/// Programs of the host, as the manifest spells them.
mod programs;
/// The file with the nameservers.
mod resolv_conf;
/// What the settings mean.
mod settings;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        world: "wxc:hook/hook-plugin",
        generate_all,
    });
    export!(Dhcp with_types_in self);
    use super::Dhcp;
}

use bindings::exports::wxc::hook::hook::Guest;
use bindings::wxc::hook::types::{Change, Context, Event, OnFailure, Patch, Step, Subscription, Verdict};
use bindings::wxc::host::log;
use bindings::wxc::host::types::{Error, ErrorKind};
use lease::Lease;
use settings::Settings;

struct Dhcp;

/// When, for what, what a failure means, and the milliseconds that it may take.
const WISHES: &[(Event, Step, OnFailure, u32)] = &[
    (Event::Create, Step::Validate, OnFailure::Abort, 200),
    (Event::Configure, Step::Validate, OnFailure::Abort, 200),
    (Event::PreStart, Step::Validate, OnFailure::Abort, 200),
    // A machine whose network does not answer starts as well.
    (Event::Start, Step::Act, OnFailure::Warn, 60_000),
];

impl Guest for Dhcp {
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
        let checked = Settings::read(&context.container.settings).and_then(|settings| {
            // One setting is made after the other: whether they fit is asked when it matters.
            let complete = context.event == Event::PreStart;
            if complete { settings.interfaces(&context.plan.interfaces).map(drop) } else { Ok(()) }
        });
        Ok(checked.map_or_else(Verdict::Refuse, |()| Verdict::Accept))
    }

    fn act(context: Context) -> Result<Option<Vec<u8>>, Error> {
        let invalid = |message| Error { kind: ErrorKind::Invalid, message };
        let settings = Settings::read(&context.container.settings).map_err(invalid)?;
        let interfaces = settings.interfaces(&context.plan.interfaces).map_err(invalid)?;
        if !interfaces.is_empty() {
            configure(&settings, &interfaces, &context.plan.hostname)?;
        }
        Ok(None)
    }

    /// What it set belongs to the container's network, which goes when the start fails.
    fn undo(_context: Context, _token: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

/// Every interface, also when one gets no answer.
fn configure(settings: &Settings, interfaces: &[&str], hostname: &str) -> Result<(), Error> {
    programs::check()?;
    let (mut leases, mut failures) = (Vec::new(), Vec::new());
    for (interface, index) in interfaces.iter().zip(0..) {
        match obtain(interface, index, hostname) {
            Ok(lease) => leases.push(lease),
            Err(error) => failures.push(format!("{interface}: {}", error.message)),
        }
    }
    if settings.resolv_conf && leases.iter().any(|lease| !lease.nameservers.is_empty()) {
        let written = resolv_conf::write(&leases);
        failures.extend(written.err().map(|error| format!("the nameservers: {}", error.message)));
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(Error { kind: ErrorKind::Failed, message: format!("not all of DHCP: {}", failures.join("; ")) })
}

fn obtain(interface: &str, index: u64, hostname: &str) -> Result<Lease, Error> {
    programs::up(interface)?;
    let said = programs::lease(interface, hostname)?;
    let lease = lease::read(&said).map_err(|why| Error {
        kind: ErrorKind::Failed,
        message: format!("the answer of the client has {why}"),
    })?;
    programs::address(interface, &lease.address)?;
    if let Some(router) = lease.router {
        programs::route(interface, router, index)?;
    }
    log::emit(log::Level::Info, &format!("{interface}: {lease}"));
    Ok(lease)
}
