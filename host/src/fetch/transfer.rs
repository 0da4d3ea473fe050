//! Requests, answers, ranges, retries: everything a server can do wrong ends here in a decision.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use ureq::http::{Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Proxy};

use super::error::FetchError;
use super::names::Remembering;
use super::order::{Answer, Fetched, Order, Progress};
use super::origin::Origin;
use super::sink::Sink;
use super::walk::{is_for_later, walk};
use super::worker::Roots;

/// Attempts in all, also when each brings a few bytes.
const MOST_ATTEMPTS: u32 = 100;
const PIECE: usize = 128 << 10;
/// Fewer bytes a second are none.
const SLOWEST: u64 = 512;
/// What a template waits for itself.
const DOCUMENT: Duration = Duration::from_secs(600);
/// What an answer's headers may add up to.
const HEADERS: usize = 32 << 10;

pub(super) type Tell<'a> = &'a mut dyn FnMut(Answer) -> Result<(), FetchError>;

/// What to do about a failure.
pub(super) enum Failure {
    /// The same again, after a pause.
    Again(FetchError),
    /// The next address.
    Elsewhere(FetchError),
    /// Nothing.
    Final(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

/// Fetches what is ordered into a file.
pub(super) fn fetch(
    order: &Order,
    connections: &mut Connections,
    target: &File,
    tell: Tell<'_>,
) -> Result<Fetched, FetchError> {
    let mut sink = Sink::open(target, order.have, order.digest.as_ref())?;
    let mut job = Job { order, connections: RefCell::new(connections), validator: order.validator.clone() };
    let mut last = None;
    let mut total = 0;
    for url in &order.urls {
        let mut fruitless = 0;
        while fruitless < order.patience.attempts && total < MOST_ATTEMPTS {
            if fruitless > 0 {
                std::thread::sleep(order.patience.pause.saturating_mul(1 << (fruitless - 1).min(6)));
            }
            total += 1;
            let before = sink.length();
            let error = match job.attempt(url, &mut sink, tell) {
                Ok(fetched) => return Ok(fetched),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Elsewhere(error)) => {
                    last = Some(error);
                    break;
                }
                Err(Failure::Again(error)) => error,
            };
            fruitless = if sink.length() > before { 1 } else { fruitless + 1 };
            tell(Answer::Trouble(error.to_string()))?;
            last = Some(error);
        }
        if order.digest.is_none() {
            // Another server's bytes need not be the same.
            sink.clear()?;
        }
        job.validator = None;
    }
    let none = || FetchError::Helper { why: "was not told where to look".into() };
    Err(last.unwrap_or_else(none))
}

/// Connections that are kept from one order to the next, by server: each has its own authorities.
#[derive(Debug)]
pub(super) struct Connections {
    roots: Roots,
    agents: BTreeMap<Origin, Agent>,
}

impl Connections {
    pub(super) fn new(roots: Roots) -> Self {
        Self { roots, agents: BTreeMap::new() }
    }

    pub(super) fn to(&mut self, origin: &Origin, order: &Order) -> Result<Agent, FetchError> {
        if let Some(known) = self.agents.get(origin) {
            return Ok(known.clone());
        }
        let new = agent(order, self.roots.of(origin)?)?;
        self.agents.insert(origin.clone(), new.clone());
        Ok(new)
    }
}

fn agent(order: &Order, roots: Vec<Certificate<'static>>) -> Result<Agent, FetchError> {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(roots.into_iter()))
        .build();
    let proxy = order.proxy.as_deref().map(|proxy| proxy_of(proxy, order.no_proxy.as_deref())).transpose()?;
    let patience = &order.patience;
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("wxc/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_recv_response(Some(patience.silence))
        .timeout_per_read(Some(patience.silence))
        .timeout_per_write(Some(patience.silence))
        .build();
    Ok(Agent::with_parts(config, DefaultConnector::new(), Remembering::default()))
}

fn proxy_of(proxy: &str, except: Option<&str>) -> Result<Proxy, FetchError> {
    let refuse =
        |e: ureq::Error| FetchError::Refused { url: proxy.to_owned(), why: format!("as a proxy: {e}") };
    let plain = Proxy::new(proxy).map_err(refuse)?;
    let mut builder = Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
    if let Some(name) = plain.username() {
        builder = builder.username(name);
    }
    if let Some(password) = plain.password() {
        builder = builder.password(password);
    }
    for except in except.into_iter().flat_map(|list| list.split(',')).map(str::trim).filter(|e| !e.is_empty())
    {
        builder = builder.no_proxy(except);
    }
    builder.build().map_err(refuse)
}

struct Job<'a> {
    order: &'a Order,
    connections: RefCell<&'a mut Connections>,
    /// What the server calls the content that the file has the beginning of.
    validator: Option<String>,
}

impl Job<'_> {
    /// One attempt at one address.
    fn attempt(&mut self, url: &str, sink: &mut Sink<'_>, tell: Tell<'_>) -> Result<Fetched, Failure> {
        // Nobody could tell that what goes on is not what began.
        if self.order.document || self.order.digest.is_none() && self.validator.is_none() {
            sink.clear()?;
        }
        let (url, answer) = self.ask(url, sink.length())?;
        let status = answer.status().as_u16();
        self.judge(&url, status, &answer, sink)?;
        let sent = content_length(&answer);
        let plain = !is_gzip(&answer);
        let total = sent.filter(|_| plain).map(|sent| sink.length() + sent).or(self.order.size);
        self.check_size(&url, total)?;
        self.validator = strong_validator(&answer);
        tell(Answer::Begins { validator: self.validator.clone() })?;
        let headers = headers(&answer);
        self.take(&url, answer, total, sink, tell)?;
        if let Some(total) = total.filter(|total| sink.length() < *total) {
            let why = format!("it broke off after {} of {total} bytes", sink.length());
            return Err(Failure::Again(FetchError::Network { url, why }));
        }
        self.verify(&url, sink)?;
        Ok(Fetched { status, url, headers, bytes: sink.length(), sha256: sink.sha256() })
    }

    /// Asks, and follows where it is sent.
    fn ask(&self, url: &str, have: u64) -> Result<(String, Response<Body>), Failure> {
        walk(self.order, url, &[301, 302, 303, 307, 308], |ask| {
            let agent = self.connections.borrow_mut().to(ask.origin, self.order)?;
            let mut request = agent.get(ask.url);
            for (name, value) in &ask.headers {
                request = request.header(*name, *value);
            }
            // Otherwise bytes would be others than those whose digest is known.
            let encoding = if self.order.document { "gzip" } else { "identity" };
            request = request.header(header::ACCEPT_ENCODING, encoding);
            if have > 0 {
                request = request.header(header::RANGE, format!("bytes={have}-"));
                if let Some(validator) = &self.validator {
                    request = request.header(header::IF_RANGE, validator);
                }
            }
            request.call().map_err(|error| of_ureq(ask.url, &error))
        })
    }

    /// What an answer's status means for what the file has already.
    fn judge(
        &self,
        url: &str,
        status: u16,
        answer: &Response<Body>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Failure> {
        let failed = || FetchError::Status { url: url.to_owned(), status };
        match status {
            // The whole: the server knows no ranges, or has something else now.
            200 => Ok(sink.clear()?),
            206 if sink.length() > 0 && range_begins(answer) == Some(sink.length()) => Ok(()),
            206 | 416 if sink.length() > 0 => {
                sink.clear()?;
                Err(Failure::Again(failed()))
            }
            _ if is_for_later(status) => Err(Failure::Again(failed())),
            _ if self.order.document && status != 206 => Ok(sink.clear()?),
            _ => Err(Failure::Elsewhere(failed())),
        }
    }

    /// A size that cannot be right is not downloaded first.
    fn check_size(&self, url: &str, total: Option<u64>) -> Result<(), Failure> {
        let Some(total) = total else { return Ok(()) };
        if total > self.order.limit {
            return Err(Failure::Elsewhere(FetchError::TooBig {
                url: url.to_owned(),
                limit: self.order.limit,
            }));
        }
        match self.order.size {
            Some(expected) if expected != total => {
                Err(Failure::Elsewhere(FetchError::Size { url: url.to_owned(), expected, found: total }))
            }
            _ => Ok(()),
        }
    }

    fn take(
        &self,
        url: &str,
        answer: Response<Body>,
        total: Option<u64>,
        sink: &mut Sink<'_>,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        let unpacks = self.order.document && is_gzip(&answer);
        let body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        let mut body: Box<dyn Read> =
            if unpacks { Box::new(MultiGzDecoder::new(body)) } else { Box::new(body) };
        let limit = self.order.size.unwrap_or(self.order.limit).min(self.order.limit);
        let mut buffer = vec![0; PIECE];
        let mut pace = Pace::new(self.order);
        loop {
            let broken = |error: std::io::Error| {
                Failure::Again(FetchError::Network { url: url.to_owned(), why: error.to_string() })
            };
            let count = body.read(&mut buffer).map_err(broken)?;
            if count == 0 {
                return Ok(());
            }
            if let Some(why) = pace.complaint(count as u64) {
                return Err(Failure::Elsewhere(FetchError::Network { url: url.to_owned(), why }));
            }
            if sink.length() + count as u64 > limit {
                return Err(Failure::Elsewhere(FetchError::TooBig { url: url.to_owned(), limit }));
            }
            sink.write(&buffer[..count])?;
            tell(Answer::Progress(Progress { bytes: sink.length(), total }))?;
        }
    }

    fn verify(&self, url: &str, sink: &mut Sink<'_>) -> Result<(), Failure> {
        if let Some(expected) = self.order.size.filter(|size| *size != sink.length()) {
            let found = sink.length();
            sink.clear()?;
            return Err(Failure::Elsewhere(FetchError::Size { url: url.to_owned(), expected, found }));
        }
        let Some(digest) = &self.order.digest else { return Ok(()) };
        let Some(found) = sink.differs(digest) else { return Ok(()) };
        // What an earlier attempt brought may be what is wrong.
        sink.clear()?;
        let (algorithm, expected) = (digest.algorithm().name().to_owned(), digest.hex().to_owned());
        let error = FetchError::Digest { url: url.to_owned(), algorithm, expected, found };
        Err(Failure::Again(error))
    }
}

/// Whether an address may be asked for: also the one that a redirect leads to.
pub(super) fn check(order: &Order, url: &str) -> Result<Origin, Failure> {
    let refuse = |why: String| Failure::Elsewhere(FetchError::Refused { url: cut(url), why });
    let origin = Origin::of(url).map_err(refuse)?;
    if order.origins.contains(&origin) {
        return Ok(origin);
    }
    Err(refuse(format!("{origin} is none of the servers that may be asked")))
}

/// Whether a server sends as much as one that means it: one that sends a byte now and then would hold a command for ever.
struct Pace {
    begun: Instant,
    /// As long as it may be silent.
    window: Duration,
    since: Instant,
    bytes: u64,
    is_document: bool,
}

impl Pace {
    fn new(order: &Order) -> Self {
        let now = Instant::now();
        Self { begun: now, window: order.patience.silence, since: now, bytes: 0, is_document: order.document }
    }

    fn complaint(&mut self, count: u64) -> Option<String> {
        if self.is_document && self.begun.elapsed() > DOCUMENT {
            return Some(format!("it takes more than {} seconds", DOCUMENT.as_secs()));
        }
        self.bytes += count;
        let passed = self.since.elapsed();
        if passed < self.window {
            return None;
        }
        let slowest = SLOWEST.saturating_mul(passed.as_secs().max(1));
        let is_slow = self.bytes < slowest;
        (self.since, self.bytes) = (Instant::now(), 0);
        is_slow.then(|| format!("it sends less than {SLOWEST} bytes a second"))
    }
}

fn content_length(answer: &Response<Body>) -> Option<u64> {
    answer.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn is_gzip(answer: &Response<Body>) -> bool {
    let encoding = answer.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    encoding.is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case("gzip"))
}

/// Where a partial answer begins (RFC 9110, section 14.4).
fn range_begins(answer: &Response<Body>) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// What a range may be asked by: an entity tag that is not weak (RFC 9110, section 13.1.5).
fn strong_validator(answer: &Response<Body>) -> Option<String> {
    let tag = answer.headers().get(header::ETAG)?.to_str().ok()?;
    (tag.starts_with('"') && tag.len() <= 256).then(|| tag.to_owned())
}

fn headers(answer: &Response<Body>) -> Vec<(String, String)> {
    let mut room = HEADERS;
    let all = answer.headers().iter();
    let all =
        all.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    all.take_while(|(name, value)| {
        let size = name.len() + value.len();
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    })
    .collect()
}

/// Whether it makes sense to try the same again.
pub(super) fn of_ureq(url: &str, error: &ureq::Error) -> Failure {
    let why = match error {
        ureq::Error::HostNotFound => "there is no server of this name".to_owned(),
        ureq::Error::Timeout(_) => "the server does not answer in time".to_owned(),
        other => explained(&other.to_string()),
    };
    let failed = FetchError::Network { url: url.to_owned(), why };
    match error {
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            Failure::Elsewhere(failed)
        }
        ureq::Error::Rustls(_) | ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Tls(_) => {
            Failure::Elsewhere(failed)
        }
        _ => Failure::Again(failed),
    }
}

/// An error of TLS, with what to do about the one that people make who make their own certificates: what `openssl req -x509` makes
/// unless told is an authority's (RFC 5280, 4.2.1.9).
fn explained(why: &str) -> String {
    match why.contains("CaUsedAsEndEntity") {
        true => format!(
            "{why}: it shows an authority's certificate as its own, which needs basicConstraints=CA:FALSE"
        ),
        false => why.to_owned(),
    }
}

/// What a server says, for a message.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
