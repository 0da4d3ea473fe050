//! Control groups, network, devices and system-call filters against the kernel of this machine.
//!
//! Every test makes things of its own, with names of its own, and removes them; without root each
//! says that it was skipped.

#[path = "resources/cgroups.rs"]
mod cgroups;
#[path = "resources/devices.rs"]
mod devices;
#[path = "resources/network.rs"]
mod network;
#[path = "resources/seccomp.rs"]
mod seccomp;

/// Are we root? If not, say what was skipped.
fn root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        say(&format!("skipped: {test} needs root"));
    }
    root
}

#[allow(clippy::print_stderr, reason = "a skipped test has to be seen")]
fn say(text: &str) {
    eprintln!("{text}");
}
