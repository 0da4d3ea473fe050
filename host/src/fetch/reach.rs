//! What holds for all downloads of a command.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::order::{Order, Patience};
use super::origin::Origin;

/// A server, and others with the same files below another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// Beginning of addresses, such as `https://images.example/lxc`, without a slash at its end.
    pub server: String,
    /// What may stand there instead, tried in this order after it.
    pub others: Vec<String>,
}

/// Servers that may be asked, and how they are reached.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Servers that may be asked, also by a redirect.
    pub origins: Vec<Origin>,
    /// Mirrors; their origins are allowed, too.
    pub mirrors: Vec<Mirrors>,
    /// Files with the only certificates to trust for a server; the system's hold for others.
    pub roots: BTreeMap<Origin, PathBuf>,
    /// The value of `https_proxy`, `http_proxy` and `no_proxy`, as the user set them.
    pub https_proxy: Option<String>,
    pub http_proxy: Option<String>,
    pub no_proxy: Option<String>,
    pub patience: Patience,
}

impl Reach {
    /// Whether an address may be asked for.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn check(&self, url: &str) -> Result<Origin, String> {
        let origin = Origin::of(url)?;
        if self.servers().contains(&origin) {
            Ok(origin)
        } else {
            Err(format!("{origin} is none of the servers that may be asked"))
        }
    }

    /// All servers, mirrors included.
    #[must_use]
    pub fn servers(&self) -> Vec<Origin> {
        let others = self.mirrors.iter().flat_map(|mirrors| mirrors.others.iter());
        self.origins.iter().cloned().chain(others.filter_map(|url| Origin::of(url).ok())).collect()
    }

    /// What an order for these addresses has in common with every other; the rest is the caller's.
    pub(super) fn order(&self, urls: &[String]) -> Order {
        let first = urls.first().and_then(|url| Origin::of(url).ok());
        let secure = first.as_ref().is_none_or(Origin::is_secure);
        Order {
            urls: self.with_mirrors(urls),
            headers: Vec::new(),
            origins: self.servers(),
            roots: self.roots.clone(),
            proxy: if secure { self.https_proxy.clone() } else { self.http_proxy.clone() },
            no_proxy: self.no_proxy.clone(),
            limit: 0,
            size: None,
            digest: None,
            have: 0,
            validator: None,
            document: false,
            post: false,
            patience: self.patience,
        }
    }

    /// The addresses under which the same bytes can be had, those of mirrors behind each.
    pub(super) fn with_mirrors(&self, urls: &[String]) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for url in urls {
            let others = self.mirrors.iter().flat_map(|mirrors| {
                let rest = url.strip_prefix(&mirrors.server).filter(|rest| rest.starts_with('/'));
                rest.into_iter()
                    .flat_map(|rest| mirrors.others.iter().map(move |other| format!("{other}{rest}")))
            });
            let found: Vec<String> = std::iter::once(url.clone()).chain(others).collect();
            all.extend(found.into_iter().filter(|url| !all.contains(url)).collect::<Vec<_>>());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_stand_behind_their_server() {
        let mirrors =
            Mirrors { server: "https://a.example/x".into(), others: vec!["https://b.example".into()] };
        let reach = Reach {
            origins: vec!["https://a.example".parse().unwrap()],
            mirrors: vec![mirrors],
            ..Reach::default()
        };
        let all = reach.with_mirrors(&["https://a.example/x/one".into(), "https://a.example/xy/two".into()]);
        assert_eq!(all, ["https://a.example/x/one", "https://b.example/one", "https://a.example/xy/two"]);
        assert!(reach.check("https://b.example/z").is_ok());
        assert!(reach.check("https://c.example/z").unwrap_err().contains("none of the servers"));
        assert!(reach.check("http://a.example/x").is_err());
    }
}
