//! What the settings mean.

use crate::bindings::wxc::host::types::Pair;

/// Which proxies there are, and for whom.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    http: Option<String>,
    https: Option<String>,
    /// Who is reached without.
    no_proxy: Vec<String>,
    for_apt: bool,
    for_programs: bool,
}

/// The settings there are.
const KEYS: &str = "http, https, no-proxy, apt and variables";
/// How a proxy is spoken to; curl and apt know these.
const SCHEMES: &[&str] = &["http://", "https://", "socks5h://"];

impl Settings {
    /// An unknown key is refused.
    pub fn read(pairs: &[Pair]) -> Result<Self, String> {
        let mut settings =
            Self { http: None, https: None, no_proxy: Vec::new(), for_apt: true, for_programs: true };
        for Pair { name, value } in pairs {
            let said = |why: String| format!("the setting {name}: {why}");
            match name.as_str() {
                "http" => settings.http = proxy(value).map_err(said)?,
                "https" => settings.https = proxy(value).map_err(said)?,
                "no-proxy" => settings.no_proxy = hosts(value).map_err(said)?,
                "apt" => settings.for_apt = truth(value).map_err(said)?,
                "variables" => settings.for_programs = truth(value).map_err(said)?,
                _ => return Err(format!("there is no setting {name:?}; there are {KEYS}")),
            }
        }
        Ok(settings)
    }

    /// Names and values. `HTTP_PROXY` is not among them: a program behind a web server (CGI) gets a variable of that name of whoever
    /// asks, and those that know take the other one.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        if !self.for_programs {
            return all;
        }
        let no_proxy = (!self.no_proxy.is_empty()).then(|| self.no_proxy.join(","));
        for (names, value) in [
            (&["http_proxy"][..], &self.http),
            (&["https_proxy", "HTTPS_PROXY"], &self.https),
            (&["no_proxy", "NO_PROXY"], &no_proxy),
        ] {
            all.extend(value.iter().flat_map(|value| names.iter().map(|name| (*name, value.clone()))));
        }
        all
    }

    /// The lines of apt.conf(5).
    pub fn apt(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.for_apt {
            return lines;
        }
        for (scheme, proxy) in [("http", &self.http), ("https", &self.https)] {
            let Some(proxy) = proxy else { continue };
            lines.push(format!("Acquire::{scheme}::Proxy \"{proxy}\";"));
            // apt knows single hosts only.
            let single =
                self.no_proxy.iter().filter(|host| !host.starts_with('.') && !host.contains(['*', '/', ':']));
            lines.extend(single.map(|host| format!("Acquire::{scheme}::Proxy::{host} \"DIRECT\";")));
        }
        lines
    }
}

/// An address of a proxy; an empty text takes away what is set for all containers.
fn proxy(value: &str) -> Result<Option<String>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let rest = SCHEMES.iter().find_map(|scheme| value.strip_prefix(scheme)).filter(|rest| !rest.is_empty());
    // Nothing that ends a text in apt.conf(5), or a word elsewhere.
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | ';' | '`' | '$');
    let plain = rest.is_some_and(|rest| rest.chars().all(good));
    plain.then(|| Some(value.to_owned())).ok_or_else(|| {
        format!("{value:?} is no proxy, such as http://proxy.lan:3128; there are {}", SCHEMES.join(", "))
    })
}

fn hosts(value: &str) -> Result<Vec<String>, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '*');
    let host = |word: &str| {
        word.chars()
            .all(good)
            .then(|| word.to_owned())
            .ok_or_else(|| format!("{word:?} is no host, domain or network"))
    };
    value.split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty()).map(host).collect()
}

fn truth(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("is true or false, and not {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let pair = |(name, value): &(&str, &str)| Pair { name: (*name).into(), value: (*value).into() };
        Settings::read(&pairs.iter().map(pair).collect::<Vec<_>>())
    }

    const BOTH: [(&str, &str); 3] = [
        ("http", "http://p.lan:3128"),
        ("https", "http://p.lan:3129"),
        ("no-proxy", "db.lan, .lan 10.0.0.0/8"),
    ];

    #[test]
    fn programs_and_apt_are_told() {
        let settings = read(&BOTH).unwrap();
        let variables: Vec<String> =
            settings.variables().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            variables,
            [
                "http_proxy=http://p.lan:3128",
                "https_proxy=http://p.lan:3129",
                "HTTPS_PROXY=http://p.lan:3129",
                "no_proxy=db.lan,.lan,10.0.0.0/8",
                "NO_PROXY=db.lan,.lan,10.0.0.0/8"
            ]
        );
        assert_eq!(
            settings.apt(),
            [
                "Acquire::http::Proxy \"http://p.lan:3128\";",
                "Acquire::http::Proxy::db.lan \"DIRECT\";",
                "Acquire::https::Proxy \"http://p.lan:3129\";",
                "Acquire::https::Proxy::db.lan \"DIRECT\";"
            ]
        );
    }

    #[test]
    fn each_can_be_switched_off() {
        let with = |more: (&str, &str)| read(&[BOTH[0], BOTH[1], BOTH[2], more]).unwrap();
        assert!(with(("apt", "false")).apt().is_empty() && !with(("apt", "false")).variables().is_empty());
        assert!(with(("variables", "false")).variables().is_empty());
        assert_eq!(read(&[("http", "")]).unwrap(), read(&[]).unwrap());
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_its_name() {
        for (name, value, word) in [
            ("http", "proxy.lan:3128", "http://proxy.lan:3128"),
            ("http", "ftp://proxy.lan", "is no proxy"),
            ("https", "http://", "is no proxy"),
            ("https", "http://p\";Dpkg::Pre-Invoke {\"x\"};", "is no proxy"),
            ("no-proxy", "db.lan;x", "\"db.lan;x\""),
            ("apt", "1", "true or false"),
            ("proxy", "http://p", "no setting \"proxy\""),
        ] {
            assert!(read(&[(name, value)]).unwrap_err().contains(word), "{name} {value}");
        }
    }
}
