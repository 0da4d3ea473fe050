//! The caller's side: everything that the check needs goes into a file in memory, the answer comes through a pipe.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use super::question::{Form, Question, TrustError, Vouched, read_answer};
use super::rings::Ring;

/// Name of a process that is the helper, in `argv[0]`.
pub const ROLE: &str = "[wxc verify]";

/// Checks a signature in a process that can do nothing else.
///
/// # Errors
/// Nobody of the ring vouches for these bytes.
pub fn verify(ring: &Ring, form: Form, content: &[u8], signature: &[u8]) -> Result<Vouched, TrustError> {
    verify_with(Path::new("/proc/self/exe"), ring, form, content, signature)
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
    let failed = |doing: &'static str| {
        move |error: std::io::Error| TrustError::Helper { why: format!("cannot {doing}: {error}") }
    };
    let memory = memfd_create("wxc-signed", MemfdFlags::CLOEXEC)
        .map_err(|error| failed("be told what to check")(error.into()))?;
    let mut memory = File::from(memory);
    let question = Question {
        form,
        name: ring.name.clone(),
        ring: ring.read()?,
        content: content.to_vec(),
        signature: signature.to_vec(),
    };
    let mut bytes = Vec::new();
    question.write(&mut bytes).map_err(failed("be told what to check"))?;
    memory.write_all(&bytes).and_then(|()| memory.rewind()).map_err(failed("be told what to check"))?;
    let output = Command::new(program)
        .arg0(ROLE)
        .env_clear()
        .current_dir("/")
        .stdin(memory)
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
