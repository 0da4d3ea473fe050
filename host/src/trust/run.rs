//! The caller's side: what the check needs goes to the helper in two files, the answer comes through a pipe.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::question::{Form, Question, TrustError, Vouched, read_answer};
use super::rings::Ring;
use crate::sys::packets::send;

/// Name of a process that is the helper, in `argv[0]`; its standard input is the socket to its caller.
pub const ROLE: &str = "[wxc verify]";
/// This program.
const SELF: &str = "/proc/self/exe";

/// Checks a signature in a process that can do nothing else.
///
/// # Errors
/// Nobody of the ring vouches for these bytes.
pub fn verify(ring: &Ring, form: Form, content: &[u8], signature: &[u8]) -> Result<Vouched, TrustError> {
    verify_with(Path::new(SELF), ring, form, content, signature)
}

/// The same with a named program as the helper.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    program: &Path,
    ring: &Ring,
    form: Form,
    content: &[u8],
    signature: &[u8],
) -> Result<Vouched, TrustError> {
    let content = in_memory(content).map_err(failed("be told what is signed"))?;
    ask(program, ring, form, content.as_fd(), signature)
}

/// Checks a signature beside a file, however long that is; returns the fingerprint of the key.
///
/// # Errors
/// Nobody of the ring vouches for its bytes.
pub fn verify_file(ring: &Ring, file: &File, signature: &[u8]) -> Result<String, TrustError> {
    ask(Path::new(SELF), ring, Form::Detached, file.as_fd(), signature).map(|vouched| vouched.signer)
}

fn ask(
    program: &Path,
    ring: &Ring,
    form: Form,
    content: BorrowedFd<'_>,
    signature: &[u8],
) -> Result<Vouched, TrustError> {
    let question =
        Question { form, name: ring.name.clone(), ring: ring.read()?, signature: signature.to_vec() };
    let mut bytes = Vec::new();
    question.write(&mut bytes).map_err(failed("be told what to check"))?;
    let question = in_memory(&bytes).map_err(failed("be told what to check"))?;
    let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|error| failed("be told what to check")(error.into()))?;
    send(socket.as_fd(), &(), &[question.as_fd(), content]).map_err(failed("be told what to check"))?;
    let output = Command::new(program)
        .arg0(ROLE)
        .env_clear()
        .current_dir("/")
        .stdin(theirs)
        .stderr(Stdio::null())
        .output()
        .map_err(failed("be started"))?;
    read_answer(&mut output.stdout.as_slice()).unwrap_or_else(|_| {
        let why = match (output.status.signal(), output.status.code()) {
            (Some(signal), _) => format!("was killed by signal {signal}"),
            (None, code) => format!("ended with status {} and without an answer", code.unwrap_or(0)),
        };
        Err(TrustError::Helper { why })
    })
}

fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("wxc-signed", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn failed(doing: &'static str) -> impl FnOnce(std::io::Error) -> TrustError {
    move |error| TrustError::Helper { why: format!("cannot {doing}: {error}") }
}
