//! Compression on the way out and back, in a confined process of its own with a pipe to it.
//!
//! A coder opens nothing: it reads one descriptor, writes another, and has no call left that would take a path.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use serde::{Deserialize, Serialize};

use super::codec;
use super::error::UnpackError;
use super::request::{IdMapMode, Limits, Options};
use super::run::{Helper, SELF};
use super::wire::Task;

/// Bytes that wait in the pipe.
const PIPE: usize = 1 << 20;
const PIECE: usize = 256 << 10;
/// More would only take memory: eight megabytes each.
const THREADS: usize = 8;

/// How an export is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast, and small enough.
    Zstd,
    /// For whoever has nothing else.
    Gzip,
    /// Smallest, and slow.
    Xz,
}

/// A coder at work.
#[derive(Debug)]
pub struct Coder {
    helper: Helper,
    /// Our end of the pipe; gone when everything was said.
    pipe: Option<OwnedFd>,
}

impl Coder {
    /// Starts one that hands on the plain content of an archive, whatever its compression.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn decode(archive: BorrowedFd<'_>, limits: Limits) -> Result<Self, UnpackError> {
        Self::decode_with(Path::new(SELF), archive, limits)
    }

    /// The same with a named program as the helper.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn decode_with(program: &Path, archive: BorrowedFd<'_>, limits: Limits) -> Result<Self, UnpackError> {
        let (read, write) = pipe()?;
        let helper = start(program, Task::Decode, archive, write.as_fd(), limits)?;
        Ok(Self { helper, pipe: Some(read) })
    }

    /// Starts one that compresses what it is given into `out`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn encode(out: BorrowedFd<'_>, how: Compression) -> Result<Self, UnpackError> {
        Self::encode_with(Path::new(SELF), out, how)
    }

    /// The same with a named program as the helper.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn encode_with(program: &Path, out: BorrowedFd<'_>, how: Compression) -> Result<Self, UnpackError> {
        let (read, write) = pipe()?;
        let helper = start(program, Task::Encode(how), read.as_fd(), out, Limits::default())?;
        Ok(Self { helper, pipe: Some(write) })
    }

    /// The plain side.
    ///
    /// # Errors
    /// It was closed.
    pub fn pipe(&self) -> Result<BorrowedFd<'_>, UnpackError> {
        self.pipe
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or_else(|| UnpackError::Helper { why: "has no pipe any more".into() })
    }

    /// Closes the plain side and waits until the other is done.
    ///
    /// # Errors
    /// What the coder met, or the caller's flag.
    pub fn finish(mut self, cancel: &AtomicBool) -> Result<(), UnpackError> {
        self.pipe = None;
        self.helper.outcome(cancel).map(drop)
    }

    /// The error that counts when the other side of the pipe failed: that of the coder, if it had failed before
    /// and closed the pipe by it.
    #[must_use]
    pub fn explain(mut self, error: UnpackError) -> UnpackError {
        if matches!(error, UnpackError::Cancelled | UnpackError::Refused { .. } | UnpackError::Limit { .. }) {
            return error;
        }
        // One that goes on has nothing to say, and ends when it finds the pipe closed.
        self.pipe = None;
        match self.helper.outcome_soon() {
            Some(Err(own)) if !is_broken_pipe(&own) => own,
            _ => error,
        }
    }
}

fn is_broken_pipe(error: &UnpackError) -> bool {
    matches!(error, UnpackError::Entry { errno, .. } if *errno == rustix::io::Errno::PIPE.raw_os_error())
}

fn pipe() -> Result<(OwnedFd, OwnedFd), UnpackError> {
    let (read, write) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| UnpackError::confine("be reached", io::Error::from(e)))?;
    // Only faster; a user's limit may forbid it.
    let _ = fcntl_setpipe_size(&write, PIPE);
    Ok((read, write))
}

fn start(
    program: &Path,
    task: Task,
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    limits: Limits,
) -> Result<Helper, UnpackError> {
    let mut options = Options::new(IdMapMode::AsIs { max: 0 });
    options.limits = limits;
    let helper = Helper::start(program)?;
    helper.order(task, (0, 0), &options, &[source, target])?;
    Ok(helper)
}

/// The coder's own work, once it is confined.
pub(crate) fn work(task: Task, source: File, target: File, limits: Limits) -> Result<(), UnpackError> {
    match task {
        Task::Encode(how) => encode(source, target, how),
        _ => decode(source, target, limits),
    }
}

fn decode(source: File, mut target: File, limits: Limits) -> Result<(), UnpackError> {
    let mut input = codec::open(source, limits)?;
    loop {
        let bytes = input.peek(u64::MAX, b"")?;
        let n = bytes.len();
        if n == 0 {
            return Ok(());
        }
        target.write_all(bytes).map_err(failed("hand on"))?;
        input.consume(n);
    }
}

fn encode(source: File, target: File, how: Compression) -> Result<(), UnpackError> {
    let target = match how {
        Compression::None => all(source, target)?,
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(target, flate2::Compression::default());
            pump(source, &mut encoder)?;
            encoder.finish().map_err(failed("write"))?
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(target, 6);
            pump(source, &mut encoder)?;
            encoder.finish().map_err(failed("write"))?
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(target, 3).map_err(failed("write"))?;
            encoder.include_checksum(true).map_err(failed("write"))?;
            // Compressing is several times as slow as reading, and the tree's reader has a process of its own.
            let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS));
            encoder.multithread(u32::try_from(threads).unwrap_or(1)).map_err(failed("write"))?;
            pump(source, &mut encoder)?;
            encoder.finish().map_err(failed("write"))?
        }
    };
    drop(target);
    Ok(())
}

fn all(source: File, mut target: File) -> Result<File, UnpackError> {
    pump(source, &mut target)?;
    Ok(target)
}

fn pump(mut source: File, target: &mut impl Write) -> Result<(), UnpackError> {
    let mut piece = vec![0; PIECE];
    loop {
        match source.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(n) => target.write_all(&piece[..n]).map_err(failed("write"))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read")(error)),
        }
    }
}

fn failed(doing: &str) -> impl FnOnce(io::Error) -> UnpackError + '_ {
    move |error| match error.raw_os_error() {
        Some(code) => UnpackError::call(doing, b"the archive")(rustix::io::Errno::from_raw_os_error(code)),
        None => UnpackError::archive(b"its end", error.to_string()),
    }
}
