//! Which servers may be asked: scheme, host and port (RFC 6454), and nothing else of an address.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

/// The longest address that is taken (RFC 9110, section 4.1, asks for 8000 at least).
const LONGEST: usize = 8192;

/// A server: `https://images.example` or `http://127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Origin {
    secure: bool,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an address.
    ///
    /// # Errors
    /// A sentence: it is no address of `https` or `http`, or one with a user's name in it.
    pub fn of(url: &str) -> Result<Self, String> {
        parse(url).map(|(origin, _)| origin)
    }

    /// An address as everybody writes it: scheme and host in lower case, no usual port, no slash at its end. Two spellings of one
    /// server are one server.
    ///
    /// # Errors
    /// As [`Origin::of`].
    pub fn spelled(url: &str) -> Result<String, String> {
        let (origin, uri) = parse(url)?;
        let behind = uri.path_and_query().map_or("", |rest| rest.as_str());
        Ok(format!("{origin}{}", behind.trim_end_matches('/')))
    }

    /// Whether what comes from it was protected on its way.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}

fn parse(url: &str) -> Result<(Origin, Uri), String> {
    if url.len() > LONGEST || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("it is too long, or holds blanks or control characters".into());
    }
    let uri: Uri = url.parse().map_err(|error| format!("it is no address: {error}"))?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err("it begins with neither https:// nor http://".into()),
    };
    let authority = uri.authority().ok_or("it names no server")?;
    // What stands before an @ makes one server look like another.
    if authority.as_str().contains('@') {
        return Err("it has a user's name in it".into());
    }
    if authority.host().is_empty() {
        return Err("it names no server".into());
    }
    let port = match (authority.port_u16(), authority.as_str().rsplit_once(':')) {
        (Some(port), _) => port,
        // More digits than a port has are no port to the parser, and not the usual port to anybody.
        (None, Some((_, rest))) if !rest.ends_with(']') => return Err("its port is no port".into()),
        _ if secure => 443,
        _ => 80,
    };
    let host = authority.host().to_ascii_lowercase();
    Ok((Origin { secure, host, port }, uri))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.secure { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Origin {
    type Err = String;

    /// An origin and nothing behind it but a slash.
    fn from_str(text: &str) -> Result<Self, String> {
        let (origin, uri) = parse(text)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('#');
        if bare { Ok(origin) } else { Err("only scheme, host and port make an origin".into()) }
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Where a redirect leads: `location` as seen from `base` (RFC 9110, section 10.2.2; RFC 3986, section 5.2, as far as servers use it).
pub(super) fn follow(base: &str, location: &str) -> Result<String, String> {
    let (location, _) = location.split_once('#').unwrap_or((location, ""));
    let (origin, uri) = parse(base)?;
    let next = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}://{rest}", uri.scheme_str().unwrap_or("https"))
    } else if location.starts_with('/') {
        format!("{origin}{location}")
    } else {
        let directory = uri.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{origin}{directory}/{location}")
    };
    parse(&next)?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_spelling() {
        for url in ["https://a.example/x", "HTTPS://A.Example:443/x/", "https://a.example:0443/x"] {
            assert_eq!(Origin::spelled(url).unwrap(), "https://a.example/x", "{url}");
        }
        assert_eq!(Origin::spelled("https://a.example:444/").unwrap(), "https://a.example:444");
        assert!(Origin::spelled("ftp://a").is_err());
    }

    #[test]
    fn what_differs_in_writing_alone_is_the_same() {
        let same = ["https://Images.Example", "https://images.example:443/", "https://images.example"];
        for text in same {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), "https://images.example");
        }
        let of = |url: &str| Origin::of(url).unwrap().to_string();
        assert_eq!(of("https://a.example/x?y"), "https://a.example");
        assert_eq!(of("http://[::1]:8080/x"), "http://[::1]:8080");
        assert_ne!(of("http://a.example"), of("https://a.example"));
        assert_ne!(of("https://a.example:8443"), of("https://a.example"));
    }

    #[test]
    fn what_looks_like_another_server_is_refused() {
        for url in [
            "https://good.example@evil.example/",
            "https://good.example:443@evil.example/",
            "https://evil.example:99999/",
            "https:///x",
            "ftp://a.example/",
            "file:///etc/passwd",
            "https://a.example/\r\nHost: b",
            "/x",
            "",
        ] {
            assert!(Origin::of(url).is_err(), "{url}");
        }
        for text in ["https://a.example/x", "https://a.example/?x", "https://a.example/#x"] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn redirects_are_seen_from_where_they_are() {
        let base = "https://a.example/one/two?three";
        let to = |location: &str| follow(base, location).unwrap();
        assert_eq!(to("/x"), "https://a.example/x");
        assert_eq!(to("x#y"), "https://a.example/one/x");
        assert_eq!(to("//b.example/x"), "https://b.example/x");
        assert_eq!(to("http://b.example/x"), "http://b.example/x");
        assert!(follow(base, "javascript://x").is_err());
        assert!(follow(base, "//good@evil/").is_err());
    }
}
