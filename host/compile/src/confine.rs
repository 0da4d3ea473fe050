//! What the compiler gives up before it reads a file that somebody else wrote.
//!
//! A compiler is large, and wasmtime's authors do not treat a component that makes it run for ever
//! as a flaw. This contains crashes and appetite. It does not make a *compromised* compiler
//! harmless: its output will be executed by whoever started it (docs: wasm plugins, threat model).

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{self, UnshareFlags};

/// Memory, time and files. An interpreter with its library (18 MB of wasm) needs 316 MB and 9 to 15 s where a small board takes
/// ten times as long.
const LIMITS: [(Resource, u64, &str); 6] = [
    (Resource::As, 1 << 30, "limit of memory"),
    (Resource::Cpu, 240, "limit of processor time"),
    (Resource::Fsize, 1 << 30, "limit of file size"),
    (Resource::Core, 0, "limit of core dumps"),
    // What is open stays usable; nothing can be opened any more.
    (Resource::Nofile, 0, "limit of open files"),
    (Resource::Nproc, 0, "limit of processes"),
];

/// Nobody's id on every distribution; the process must only not be root any more.
const NOBODY: u32 = 65534;

/// Confines this process for good. Returns the step that failed: a compiler that cannot be confined
/// does not run.
pub(crate) fn confine() -> Result<(), (&'static str, Errno)> {
    thread::set_no_new_privs(true).map_err(|e| ("no_new_privs", e))?;
    // Namespaces before the ids: to make a user namespace costs nothing as root and may be
    // forbidden to others. Where a policy forbids it altogether the limits below still hold, and a
    // compiler without network has nothing to say to it in any case.
    let apart = UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    let _unshared = unshare(apart).or_else(|_| unshare(apart | UnshareFlags::NEWUSER));
    if rustix::process::geteuid().is_root() {
        drop_root()?;
    }
    for (resource, value, what) in LIMITS {
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        setrlimit(resource, limit).map_err(|e| (what, e))?;
    }
    Ok(())
}

/// The successor is unsafe because of the one flag for file descriptors, which is not used here.
#[allow(deprecated, reason = "safe for namespaces")]
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    thread::unshare(flags)
}

/// Groups first: after the uid is gone the kernel would not let us.
fn drop_root() -> Result<(), (&'static str, Errno)> {
    let (uid, gid) = (rustix::process::Uid::from_raw(NOBODY), rustix::process::Gid::from_raw(NOBODY));
    thread::set_thread_groups(&[]).map_err(|e| ("groups", e))?;
    thread::set_thread_res_gid(gid, gid, gid).map_err(|e| ("group id", e))?;
    thread::set_thread_res_uid(uid, uid, uid).map_err(|e| ("user id", e))
}
