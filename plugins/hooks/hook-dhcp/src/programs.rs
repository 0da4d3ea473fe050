//! Programs of the host, as the manifest spells them. In what network they work is the host's to say.

use std::net::Ipv4Addr;

use crate::bindings::wxc::host::commands::Command;
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::lease::Address;

/// What would help whoever has no client.
const HINT: &str = "install it with udhcpc on the host: the package busybox of most distributions";

/// Whether there is a client at all.
pub fn check() -> Result<(), Error> {
    let failed = |why: String| Error { kind: ErrorKind::Unsupported, message: format!("{why}; {HINT}") };
    let outcome = Command::new("clients").run().map_err(|error| failed(error.message))?;
    let list = String::from_utf8_lossy(&outcome.stdout);
    if list.split_whitespace().any(|applet| applet == "udhcpc") {
        return Ok(());
    }
    Err(failed("the host's busybox has no udhcpc".into()))
}

/// Switches an interface on.
pub fn up(interface: &str) -> Result<(), Error> {
    let command = Command::new("up");
    command.set_text("interface", interface);
    command.run().map(drop)
}

/// Asks for a lease, and returns what the client was told.
pub fn lease(interface: &str, hostname: &str) -> Result<Vec<u8>, Error> {
    let command = Command::new("lease");
    command.set_text("interface", interface);
    command.set_text("hostname", hostname);
    command.run().map(|outcome| outcome.stdout)
}

/// Gives an interface its address.
pub fn address(interface: &str, address: &Address) -> Result<(), Error> {
    let command = Command::new("address");
    command.set_text("interface", interface);
    command.set_text("address", &address.to_string());
    command.run().map(drop)
}

/// What the route of the first interface counts for; those of the others are behind it, and one that is configured (0) before it.
const METRIC: u64 = 1024;

/// Sends what is for elsewhere to a router; `index` is the interface's place among those with a lease.
pub fn route(interface: &str, router: Ipv4Addr, index: u64) -> Result<(), Error> {
    let command = Command::new("route");
    command.set_text("interface", interface);
    command.set_text("gateway", &router.to_string());
    command.set_number("metric", METRIC + index);
    command.run().map(drop)
}
