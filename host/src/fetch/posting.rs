//! A message to a server: the helper's side.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::thread::sleep;

use ureq::Body;
use ureq::http::{Response, header};

use super::error::FetchError;
use super::order::{Answer, Fetched, Order};
use super::origin::{Origin, follow};
use super::transfer::{Connections, Failure, REDIRECTS, Tell, check, cut, of_ureq};

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

/// An answer that means "not now" (RFC 9110, section 15; RFC 6585).
fn is_for_later(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// One attempt. Redirects that keep the method (RFC 9110, 15.4.8 and 15.4.9) are followed to servers that may be asked; what the
/// others ask for would be another request.
fn ask(
    order: &Order,
    connections: &mut Connections,
    url: &str,
    body: &[u8],
) -> Result<(String, Response<Body>), Failure> {
    let first = check(order, url)?;
    let mut url = url.to_owned();
    for _ in 0..=REDIRECTS {
        let origin = check(order, &url)?;
        let mut request = connections.to(&origin, order)?.post(&url);
        for (name, value) in order.headers.iter().filter(|(name, _)| is_for(name, &origin, &first)) {
            request = request.header(name, value);
        }
        let answer = request.send(body).map_err(|error| of_ureq(&url, &error))?;
        if !matches!(answer.status().as_u16(), 307 | 308) {
            return Ok((url, answer));
        }
        let refuse = |why: String| Failure::Elsewhere(FetchError::Refused { url: url.clone(), why });
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| refuse("it leads elsewhere without saying where".into()))?;
        url = follow(&url, location)
            .map_err(|why| refuse(format!("it leads to {:?}: {why}", cut(location))))?;
    }
    let why = format!("it leads elsewhere more than {REDIRECTS} times");
    Err(Failure::Elsewhere(FetchError::Refused { url, why }))
}

/// What shows who asks is for the server that was named.
fn is_for(header: &str, origin: &Origin, first: &Origin) -> bool {
    origin == first || !header.eq_ignore_ascii_case("authorization")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_means_not_now_is_sent_again() {
        let later: Vec<u16> = (100..600).filter(|status| is_for_later(*status)).collect();
        assert_eq!(later[..3], [408, 425, 429]);
        assert_eq!(later.len(), 103);
    }

    #[test]
    fn who_asks_is_told_to_nobody_else() {
        let of = |url: &str| Origin::of(url).unwrap();
        let (own, other) = (of("https://a.example"), of("https://b.example"));
        assert!(is_for("authorization", &own, &own) && !is_for("Authorization", &other, &own));
        assert!(is_for("content-type", &other, &own));
    }
}
