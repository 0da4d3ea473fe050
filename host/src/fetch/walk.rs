#![forbid(unsafe_code)]
//! The way to an answer: from the address that was named along redirects, as far as they lead to servers that may be asked.

use ureq::Body;
use ureq::http::{Response, header};

use super::error::FetchError;
use super::order::Order;
use super::origin::{Origin, follow};
use super::transfer::{Failure, check, cut};

/// Redirects in a row.
const REDIRECTS: usize = 5;

/// A request to one server: whom, at which address, with which headers.
pub(super) struct Ask<'a> {
    pub(super) origin: &'a Origin,
    pub(super) url: &'a str,
    pub(super) headers: Vec<(&'a str, &'a str)>,
}

/// Asks by `send`, and again where an answer with one of the statuses `onward` leads. Says where the answer came from.
pub(super) fn walk(
    order: &Order,
    url: &str,
    onward: &[u16],
    mut send: impl FnMut(&Ask<'_>) -> Result<Response<Body>, Failure>,
) -> Result<(String, Response<Body>), Failure> {
    let first = check(order, url)?;
    let mut url = url.to_owned();
    for _ in 0..=REDIRECTS {
        let origin = check(order, &url)?;
        let headers = order.headers.iter().filter(|(name, _)| is_for(name, &origin, &first));
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = send(&Ask { origin: &origin, url: &url, headers })?;
        if !onward.contains(&answer.status().as_u16()) {
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

/// An answer that means "not now" (RFC 9110, section 15; RFC 6585).
pub(super) fn is_for_later(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
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
