//! The helper's side: confines itself, then talks to servers.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustls_native_certs::load_native_certs;
use ureq::tls::{Certificate, PemItem, parse_pem};

use super::confine::confine;
use super::error::FetchError;
use super::order::{Answer, Fetched, Order};
use super::origin::Origin;
use super::transfer::Connections;
use super::{posting, run, transfer};
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
    let mut connections = None;
    // The caller is gone, or has closed the socket: that is the end of every session.
    while let Ok(Some((order, handles))) = receive_handles(socket.as_fd()) {
        let answer = match work(socket.as_fd(), &order, handles, &mut connections) {
            Ok(fetched) => Answer::Done(fetched),
            Err(error) => Answer::Failed(error),
        };
        if send(socket.as_fd(), &answer, &[]).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn work(
    socket: BorrowedFd<'_>,
    order: &Order,
    handles: Vec<OwnedFd>,
    connections: &mut Option<Connections>,
) -> Result<Fetched, FetchError> {
    let target = handles.into_iter().next();
    let target = target.ok_or_else(|| FetchError::Helper { why: "did not get a file".into() })?;
    let target = File::from(target);
    let connections = match connections {
        Some(known) => known,
        None => {
            let roots = Roots::load(order)?;
            confine()?;
            connections.insert(Connections::new(roots))
        }
    };
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
    if order.post {
        return posting::send(order, connections, &target, &mut tell);
    }
    transfer::fetch(order, connections, &target, &mut tell)
}

/// Whom to believe that a server is who it says.
#[derive(Debug)]
pub(super) struct Roots {
    /// The only ones for these servers.
    own: BTreeMap<Origin, Vec<Certificate<'static>>>,
    /// For all others; read while there are files to read.
    system: Vec<Certificate<'static>>,
    /// Why there are none.
    why: String,
}

impl Roots {
    fn load(order: &Order) -> Result<Self, FetchError> {
        let own = order.roots.iter().filter(|(origin, _)| order.origins.contains(origin));
        let own = own.map(|(origin, file)| Ok((origin.clone(), of_file(file)?)));
        let own: BTreeMap<_, _> = own.collect::<Result<_, FetchError>>()?;
        let mut roots = Self { own, system: Vec::new(), why: String::new() };
        let needs = |origin: &Origin| origin.is_secure() && !roots.own.contains_key(origin);
        if order.origins.iter().any(needs) {
            let found = load_native_certs();
            roots.system = found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
            let none = || "the system has no certificates".to_owned();
            roots.why = found.errors.first().map_or_else(none, ToString::to_string);
        }
        Ok(roots)
    }

    /// Those for a server.
    pub(super) fn of(&self, origin: &Origin) -> Result<Vec<Certificate<'static>>, FetchError> {
        let roots = self.own.get(origin).unwrap_or(&self.system);
        if roots.is_empty() && origin.is_secure() {
            return Err(FetchError::Roots { why: self.why.clone() });
        }
        Ok(roots.clone())
    }
}

fn of_file(path: &Path) -> Result<Vec<Certificate<'static>>, FetchError> {
    let mut all = Vec::new();
    let failed = |why: String| FetchError::Roots { why: format!("{}: {why}", path.display()) };
    let length = path.metadata().map_err(|e| failed(e.to_string()))?.len();
    if length > LONGEST {
        return Err(failed(format!("it is longer than {LONGEST} bytes")));
    }
    let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| failed(e.to_string()))? {
            all.push(certificate);
        }
    }
    if all.is_empty() { Err(failed("there is no certificate in it (PEM)".into())) } else { Ok(all) }
}

/// A panic is told to the caller like every other failure; the helper has no other voice.
fn tell_panics(socket: &OwnedFd) {
    let Ok(socket) = socket.try_clone() else { return };
    std::panic::set_hook(Box::new(move |info| {
        let why = format!("met a bug: {info}");
        drop(send(socket.as_fd(), &Answer::Failed(FetchError::Helper { why }), &[]));
    }));
}
