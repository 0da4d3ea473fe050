#![forbid(unsafe_code)]
//! `wxc:host/fetch`: small documents of declared servers.
//!
//! A guest names an address and a few headers. Where that may lead, how it is reached, and what is kept of it is decided
//! below ([`crate::fetch`]), by what whoever made the call allowed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::Resource;

use super::failure::failure;
use super::log::printable;
use super::progress::Progress;
use super::{OUT_OF_TIME, State};
use crate::fetch::{Digest, Document, DocumentRequest, Documents, FetchError, Reach, Watch};
use crate::plugin::bindings::host::wxc::host::fetch::{Host, HostRequest, HostResponse};
use crate::plugin::bindings::host::wxc::host::types;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::plugin::template::digest_of;

/// The longest body, unless the guest says otherwise, and at all.
const USUAL: u32 = 1 << 20;
const LONGEST: u32 = 64 << 20;
/// Headers that a guest may set: none that names another server or asks for another encoding.
const ALLOWED: [&str; 4] = ["accept", "authorization", "if-none-match", "if-modified-since"];
/// Longest value of one, and most of them.
const HEADER: usize = 8192;
const HEADERS: usize = 16;

/// How the plugins of a command get documents.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// Servers that may be asked.
    pub reach: Reach,
    /// What is kept.
    pub documents: Documents,
    /// Whether servers are asked however young that is.
    pub fresh: bool,
}

/// A request being prepared.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Request {
    url: String,
    headers: Vec<(String, String)>,
    limit: u32,
    accept_age: u32,
    expect: Option<Digest>,
    /// What was wrong with it; told by `send`.
    problem: Option<Error>,
}

/// What a server answered.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Response(Document);

impl Host for State {}

impl HostRequest for State {
    fn new(&mut self, url: String) -> wasmtime::Result<Resource<Request>> {
        let called = self.called("fetch.request", &(&url,))?;
        self.answer_new(called, |state| {
            let request = Request {
                url,
                headers: Vec::new(),
                limit: USUAL,
                accept_age: 0,
                expect: None,
                problem: None,
            };
            state.table.push(request).map_err(|_| state.handles_used_up())
        })
    }

    fn set_header(&mut self, this: Resource<Request>, name: String, value: String) -> wasmtime::Result<()> {
        let called = self.called("fetch.request.set-header", &(this.rep(), &name, &value))?;
        self.answer(called, |state| state.set(&this, &name, value))
    }

    fn set_limit(&mut self, this: Resource<Request>, bytes: u32) -> wasmtime::Result<()> {
        let called = self.called("fetch.request.set-limit", &(this.rep(), bytes))?;
        self.answer(called, |state| {
            state.request(&this)?.limit = bytes.min(LONGEST);
            Ok(())
        })
    }

    fn accept_age(&mut self, this: Resource<Request>, seconds: u32) -> wasmtime::Result<()> {
        let called = self.called("fetch.request.accept-age", &(this.rep(), seconds))?;
        self.answer(called, |state| {
            state.request(&this)?.accept_age = seconds;
            Ok(())
        })
    }

    fn expect(&mut self, this: Resource<Request>, digest: types::Digest) -> wasmtime::Result<()> {
        let called = self.called("fetch.request.expect", &(this.rep(), &digest))?;
        self.answer(called, |state| {
            let request = state.request(&this)?;
            request.expect = digest_of(&digest);
            if request.expect.is_none() {
                request.problem = Some(failure(ErrorKind::Invalid, format!("{:?} is no digest", digest.hex)));
            }
            Ok(())
        })
    }

    fn send(&mut self, this: Resource<Request>) -> wasmtime::Result<Result<Resource<Response>, Error>> {
        let called = self.called("fetch.request.send", &(this.rep(),))?;
        self.answer_handle(called, |state| state.send_request(&this))
    }

    fn drop(&mut self, this: Resource<Request>) -> wasmtime::Result<()> {
        self.dropped("fetch.request.drop", this)
    }
}

impl HostResponse for State {
    fn status(&mut self, this: Resource<Response>) -> wasmtime::Result<u16> {
        let called = self.called("fetch.response.status", &(this.rep(),))?;
        self.answer(called, |state| Ok(state.response(&this)?.status))
    }

    fn header(&mut self, this: Resource<Response>, name: String) -> wasmtime::Result<Option<String>> {
        let called = self.called("fetch.response.header", &(this.rep(), &name))?;
        self.answer(called, |state| {
            let headers = &state.response(&this)?.headers;
            Ok(headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
        })
    }

    fn body(&mut self, this: Resource<Response>) -> wasmtime::Result<Vec<u8>> {
        let called = self.called("fetch.response.body", &(this.rep(),))?;
        self.answer(called, |state| Ok(state.response(&this)?.body.clone()))
    }

    fn drop(&mut self, this: Resource<Response>) -> wasmtime::Result<()> {
        self.dropped("fetch.response.drop", this)
    }
}

impl State {
    /// Sets a header, or remembers why it cannot be set.
    fn set(&mut self, this: &Resource<Request>, name: &str, value: String) -> wasmtime::Result<()> {
        let request = self.request(this)?;
        let name = name.to_ascii_lowercase();
        if !ALLOWED.contains(&name.as_str()) {
            request.problem =
                Some(failure(ErrorKind::Denied, format!("the header {name:?} is not a plugin's to set")));
        } else if value.len() > HEADER
            || request.headers.len() >= HEADERS
            || value.chars().any(char::is_control)
        {
            request.problem =
                Some(failure(ErrorKind::Invalid, format!("the value of the header {name:?} cannot be sent")));
        } else {
            request.headers.retain(|(known, _)| *known != name);
            request.headers.push((name, value));
        }
        Ok(())
    }

    fn send_request(
        &mut self,
        this: &Resource<Request>,
    ) -> wasmtime::Result<Result<Resource<Response>, Error>> {
        let request = self.request(this)?;
        if let Some(problem) = request.problem.clone() {
            return Ok(Err(problem));
        }
        let asked = DocumentRequest {
            url: request.url.clone(),
            headers: request.headers.clone(),
            limit: request.limit.into(),
            accept_age: Duration::from_secs(request.accept_age.into()),
            expect: request.expect.clone(),
            fresh: false,
        };
        match self.fetch(&asked) {
            Err(error) => Ok(Err(error)),
            Ok(document) => {
                let pushed = self.table.push(Response(document)).map_err(|_| self.handles_used_up())?;
                Ok(Ok(pushed))
            }
        }
    }

    fn request(&mut self, handle: &Resource<Request>) -> wasmtime::Result<&mut Request> {
        Ok(self.table.get_mut(handle)?)
    }

    fn response(&self, handle: &Resource<Response>) -> wasmtime::Result<&Document> {
        Ok(&self.table.get(handle)?.0)
    }

    fn fetch(&mut self, request: &DocumentRequest) -> Result<Document, Error> {
        let Some(fetcher) = self.scope.fetcher.clone() else {
            return Err(failure(ErrorKind::Denied, "this call may ask no server"));
        };
        if let Err(why) = fetcher.reach.check(&request.url) {
            let url = printable(&request.url);
            return Err(failure(ErrorKind::Denied, format!("cannot fetch {url}: {why}")));
        }
        tracing::debug!(plugin = %self.plugin, url = request.url, "fetching");
        let mut watch = Watching::new(self)?;
        let mut request = request.clone();
        request.fresh = fetcher.fresh;
        let got = fetcher.documents.get(&request, &fetcher.reach, &mut watch);
        let document = got.map_err(|error| watch.told(&error))?;
        if let Some(age) = document.stale {
            let (url, hours) = (printable(&request.url), age.as_secs() / 3600);
            self.progress.note(&format!("{url} cannot be reached; what it said {hours} hours ago is used"));
        }
        Ok(document)
    }
}

/// What is asked is small: only whether somebody wants it any more counts.
pub(super) struct Watching {
    progress: Arc<dyn Progress>,
    /// When nobody waits any longer.
    end: Option<Instant>,
}

impl Watching {
    /// For one request of a call.
    ///
    /// # Errors
    /// Its time is used up already.
    pub(super) fn new(state: &State) -> Result<Self, Error> {
        let end = state.time_left()?.map(|left| Instant::now() + left);
        Ok(Self { progress: Arc::clone(&state.progress), end })
    }

    fn is_late(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// In the words of the contract.
    pub(super) fn told(&self, error: &FetchError) -> Error {
        let kind = match error {
            FetchError::Refused { .. } => ErrorKind::Denied,
            FetchError::TooBig { .. } => ErrorKind::Exhausted,
            FetchError::Digest { .. } | FetchError::Size { .. } => ErrorKind::Integrity,
            FetchError::Cancelled if self.is_late() && !self.progress.cancelled() => {
                return failure(ErrorKind::Exhausted, OUT_OF_TIME);
            }
            FetchError::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Failed,
        };
        failure(kind, printable(&error.to_string()).to_string())
    }
}

impl Watch for Watching {
    fn progress(&mut self, _: crate::fetch::Progress) {}

    fn trouble(&mut self, what: &str) {
        tracing::info!("{}", printable(what));
    }

    fn begins(&mut self, _: Option<&str>) {}

    fn cancelled(&self) -> bool {
        self.progress.cancelled() || self.is_late()
    }
}
