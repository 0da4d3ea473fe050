//! The helper's side: confines itself, then talks to servers.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustls_native_certs::load_native_certs;
use ureq::tls::{Certificate, PemItem, parse_pem};

use super::confine::confine;
use super::error::FetchError;
use super::order::{Answer, Fetched, Order};
use super::{run, transfer};
use crate::sys::leave::close_inherited;
use crate::sys::packets::{receive_handles, send};

/// Between two messages about progress.
const PACE: Duration = Duration::from_millis(100);
/// Longest file of certificates: the system's have some 200 KiB.
const LONGEST: u64 = 8 << 20;

/// Plays the helper if this process was started as one. For the first line of `main`.
pub fn dispatch() -> Option<ExitCode> {
    (std::env::args_os().next()? == run::ROLE).then(|| {
        let ready = close_inherited().is_ok();
        // The socket is standard input, which is shared and cannot be owned; a second descriptor can.
        match std::io::stdin().as_fd().try_clone_to_owned() {
            Ok(socket) if ready => main(&socket),
            _ => ExitCode::FAILURE,
        }
    })
}

fn main(socket: &OwnedFd) -> ExitCode {
    tell_panics(socket);
    let (answer, code) = match work(socket.as_fd()) {
        Ok(fetched) => (Answer::Done(fetched), ExitCode::SUCCESS),
        Err(error) => (Answer::Failed(error), ExitCode::FAILURE),
    };
    // Nobody is left to hear of it if this fails.
    drop(send(socket.as_fd(), &answer, &[]));
    code
}

fn work(socket: BorrowedFd<'_>) -> Result<Fetched, FetchError> {
    let silent = |why: String| FetchError::Helper { why: format!("did not get its orders: {why}") };
    let (order, handles): (Order, Vec<OwnedFd>) = receive_handles(socket)
        .map_err(|e| silent(e.to_string()))?
        .ok_or_else(|| silent("silence".into()))?;
    let target = handles.into_iter().next().ok_or_else(|| silent("no file".into()))?;
    let target = File::from(target);
    let roots = roots(&order.roots)?;
    confine()?;
    let mut last = Instant::now().checked_sub(PACE);
    let mut tell = |answer: Answer| {
        if matches!(answer, Answer::Progress(_)) {
            if last.is_some_and(|last| last.elapsed() < PACE) {
                return Ok(());
            }
            last = Some(Instant::now());
        }
        // A caller that is gone does not want the rest.
        send(socket, &answer, &[]).map_err(|_| FetchError::Cancelled)
    };
    transfer::fetch(&order, roots, &target, &mut tell)
}

/// Whom to believe that a server is who it says.
fn roots(files: &[PathBuf]) -> Result<Vec<Certificate<'static>>, FetchError> {
    if files.is_empty() {
        let found = load_native_certs();
        if found.certs.is_empty() {
            let why = found
                .errors
                .first()
                .map_or_else(|| "the system has no certificates".into(), ToString::to_string);
            return Err(FetchError::Roots { why });
        }
        return Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect());
    }
    let mut all = Vec::new();
    for path in files {
        let failed = |why: String| FetchError::Roots { why: format!("{}: {why}", path.display()) };
        let length = path.metadata().map_err(|e| failed(e.to_string()))?.len();
        if length > LONGEST {
            return Err(failed(format!("it is longer than {LONGEST} bytes")));
        }
        let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        let before = all.len();
        for item in parse_pem(&text) {
            if let PemItem::Certificate(certificate) = item.map_err(|e| failed(e.to_string()))? {
                all.push(certificate);
            }
        }
        if all.len() == before {
            return Err(failed("there is no certificate in it (PEM)".into()));
        }
    }
    Ok(all)
}

/// A panic is told to the caller like every other failure; the helper has no other voice.
fn tell_panics(socket: &OwnedFd) {
    let Ok(socket) = socket.try_clone() else { return };
    std::panic::set_hook(Box::new(move |info| {
        let why = format!("met a bug: {info}");
        drop(send(socket.as_fd(), &Answer::Failed(FetchError::Helper { why }), &[]));
    }));
}
