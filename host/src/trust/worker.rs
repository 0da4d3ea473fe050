//! The helper's side: confines itself, then looks at what a stranger wrote.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use super::question::{Question, TrustError, Vouched, write_answer};
use super::{openpgp, run, ssh};
use crate::sys::confine::{alone, limit, without_capabilities};
use crate::sys::leave::close_inherited;
use crate::sys::mapped::Mapped;
use crate::sys::packets::receive_handles;
use crate::sys::syscalls;
use rustix::process::Resource;

/// Two documents of the greatest length, and what is made of them; what is signed comes on top.
const ADDRESS_SPACE: u64 = 1 << 30;
/// Seconds of computing: a signature takes milliseconds.
const SECONDS: u64 = 20;
/// Bytes of what is signed that are worth another second: the slowest processor digests more.
const SECOND: u64 = 32 << 20;

/// Plays the helper if this process was started as one. For the first line of `main`.
pub fn dispatch() -> Option<ExitCode> {
    (std::env::args_os().next()? == run::ROLE).then(|| {
        // A panic must say nothing on the caller's terminal; how it ended is told by the status.
        std::panic::set_hook(Box::new(|_| {}));
        match close_inherited().map(|_| answer()) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    })
}

fn answer() -> io::Result<()> {
    let (question, content) = asked()?;
    confine(content.len() as u64)?;
    let mut bytes = Vec::new();
    write_answer(&mut bytes, &check(&question, &content))?;
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()
}

/// The question, and what is signed.
fn asked() -> io::Result<(Question, Mapped)> {
    let none = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let ((), handles) = receive_handles(io::stdin().as_fd())?.ok_or_else(none)?;
    let [question, content] = <[OwnedFd; 2]>::try_from(handles).map_err(|_| none())?;
    let question = Question::read(&mut File::from(question))?;
    Ok((question, Mapped::of(&File::from(content))?))
}

/// What it takes from itself before it parses anything: what it was sent is in its memory already.
fn confine(signed: u64) -> io::Result<()> {
    limit(Resource::Core, 0)?;
    limit(Resource::As, ADDRESS_SPACE.saturating_add(signed))?;
    limit(Resource::Cpu, SECONDS + signed / SECOND)?;
    alone()?;
    without_capabilities()?;
    let filter = syscalls::filter(syscalls::Purpose::Streams).map_err(io::Error::other)?;
    seccompiler::apply_filter(&filter).map_err(io::Error::other)
}

fn check(question: &Question, content: &[u8]) -> Result<Vouched, TrustError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if ssh::is_signature(&question.signature) {
        ssh::check(question, content)
    } else {
        openpgp::check(question, content, now)
    }
}
