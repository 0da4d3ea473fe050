//! A message to a server: the helper's side.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::thread::sleep;

use ureq::Body;
use ureq::http::Response;

use super::error::FetchError;
use super::order::{Answer, Fetched, Order};
use super::transfer::{Connections, Failure, Tell, of_ureq};
use super::walk::{is_for_later, walk};

/// Sends what is in a file, and says with which status it was answered.
pub(super) fn send(
    order: &Order,
    connections: &mut Connections,
    content: &File,
    tell: Tell<'_>,
) -> Result<Fetched, FetchError> {
    let body = read(order, content)?;
    let url = order.urls.first().ok_or_else(|| FetchError::Helper { why: "was not told where to".into() })?;
    let attempts = order.patience.attempts.max(1);
    for attempt in 1.. {
        let last = attempt >= attempts;
        let trouble = match ask(order, connections, url, &body) {
            Ok((url, answer)) => {
                let status = answer.status().as_u16();
                if last || !is_for_later(status) {
                    return Ok(Fetched { status, url, headers: Vec::new(), bytes: 0, sha256: String::new() });
                }
                FetchError::Status { url, status }
            }
            Err(Failure::Again(error)) if !last => error,
            Err(Failure::Again(error) | Failure::Elsewhere(error) | Failure::Final(error)) => {
                return Err(error);
            }
        };
        tell(Answer::Trouble(trouble.to_string()))?;
        sleep(order.patience.pause.saturating_mul(1 << (attempt - 1).min(6)));
    }
    Err(FetchError::Helper { why: "made no attempt".into() })
}

fn read(order: &Order, content: &File) -> Result<Vec<u8>, FetchError> {
    let failed = |why: String| FetchError::File { doing: "read the message".into(), why };
    let length = content.metadata().map_err(|error| failed(error.to_string()))?.len();
    if length > order.limit {
        return Err(failed(format!("it is longer than {} bytes", order.limit)));
    }
    let mut body = vec![0; usize::try_from(length).map_err(|error| failed(error.to_string()))?];
    content.read_exact_at(&mut body, 0).map_err(|error| failed(error.to_string()))?;
    Ok(body)
}

/// One attempt. Redirects that keep the method (RFC 9110, 15.4.8 and 15.4.9) are followed; what the others ask for would be another
/// request.
fn ask(
    order: &Order,
    connections: &mut Connections,
    url: &str,
    body: &[u8],
) -> Result<(String, Response<Body>), Failure> {
    walk(order, url, &[307, 308], |ask| {
        let mut request = connections.to(ask.origin, order)?.post(ask.url);
        for (name, value) in &ask.headers {
            request = request.header(*name, *value);
        }
        request.send(body).map_err(|error| of_ureq(ask.url, &error))
    })
}
