//! Places where a test may kill this process or make it fail (feature `failpoints`, docs/testing.md).
//!
//! A site stands before each step that changes something on disk, so "killed at a site" means that all
//! steps before it were made and none after it. Without the feature a site is nothing at all.

/// A site. In a test's build the process may end here, or the step fail as the kernel would make it.
///
/// # Errors
/// What a test asked for; never in an ordinary build.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
#[allow(clippy::unnecessary_wraps, clippy::inline_always, reason = "the same signature as in a test's build")]
pub const fn pass(_site: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// The same where errors are numbers.
///
/// # Errors
/// As [`pass`].
pub fn pass_errno(site: &'static str) -> Result<(), rustix::io::Errno> {
    pass(site).map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
}

#[cfg(feature = "failpoints")]
pub use armed::pass;

/// The same for tests: what happens where is told by the environment.
#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::HashMap;
    use std::fs::OpenOptions;
    use std::io::{self, Write};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    /// `kill:SITE`, `enospc:SITE` or `eio:SITE`; `SITE#2` is the second time it is passed.
    const WHAT: &str = "WXC_FAILPOINT";
    /// A file that gets a line for each site that is passed: `SITE#TIMES`.
    const PASSED: &str = "WXC_FAILPOINTS_PASSED";

    /// A site of a test's build.
    ///
    /// # Errors
    /// What `WXC_FAILPOINT` says.
    pub fn pass(site: &'static str) -> io::Result<()> {
        static TIMES: OnceLock<Mutex<HashMap<&'static str, u32>>> = OnceLock::new();
        let mut times = TIMES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let count = times.entry(site).or_default();
        *count += 1;
        let here = format!("{site}#{count}");
        if let Some(path) = std::env::var_os(PASSED) {
            let mut file = OpenOptions::new().append(true).create(true).open(path)?;
            writeln!(file, "{here}")?;
        }
        let Ok(armed) = std::env::var(WHAT) else { return Ok(()) };
        let Some((what, at)) = armed.split_once(':') else { return Ok(()) };
        if at != here && (at != site || *count != 1) {
            return Ok(());
        }
        match what {
            "kill" => {
                kill_process(getpid(), Signal::KILL)?;
                loop {
                    std::thread::park();
                }
            }
            "enospc" => Err(Errno::NOSPC.into()),
            "eio" => Err(Errno::IO.into()),
            _ => Err(io::Error::other(format!("{WHAT} asks for {what:?}, which is kill, enospc or eio"))),
        }
    }
}
