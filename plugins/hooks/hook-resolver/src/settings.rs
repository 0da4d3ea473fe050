//! What the settings mean.

use std::net::IpAddr;

use crate::bindings::wxc::host::types::Pair;

/// What a container is to know.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    nameservers: Vec<IpAddr>,
    search: Vec<String>,
    options: Vec<String>,
    hosts: Vec<String>,
    /// Whether a link is replaced.
    pub force: bool,
}

/// The settings there are.
const KEYS: &str = "nameservers, search, options, hosts and force";
/// What resolv.conf(5) reads of them (`MAXNS`).
const MOST_NAMESERVERS: usize = 3;

impl Settings {
    /// An unknown key is refused, and so is what no resolver would understand.
    pub fn read(pairs: &[Pair]) -> Result<Self, String> {
        let mut settings = Self::default();
        for Pair { name, value } in pairs {
            match name.as_str() {
                "nameservers" => settings.nameservers = nameservers(value)?,
                "search" => settings.search = names(name, words(value))?,
                "options" => settings.options = options(value)?,
                "hosts" => settings.hosts = hosts(value)?,
                "force" => {
                    let truth = value.parse();
                    settings.force = truth
                        .map_err(|_| format!("the setting force is true or false, and not {value:?}"))?;
                }
                _ => return Err(format!("there is no setting {name:?}; there are {KEYS}")),
            }
        }
        Ok(settings)
    }

    /// The lines for `/etc/resolv.conf`.
    pub fn resolv_conf(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.nameservers.iter().map(|address| format!("nameserver {address}")).collect();
        for (word, values) in [("search", &self.search), ("options", &self.options)] {
            if !values.is_empty() {
                lines.push(format!("{word} {}", values.join(" ")));
            }
        }
        lines
    }

    /// The lines for `/etc/hosts`.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty())
}

fn nameservers(value: &str) -> Result<Vec<IpAddr>, String> {
    let all: Vec<IpAddr> = words(value).map(|word| address("nameservers", word)).collect::<Result<_, _>>()?;
    if all.len() > MOST_NAMESERVERS {
        return Err(format!(
            "the setting nameservers: resolvers use the first {MOST_NAMESERVERS}, and there are {}",
            all.len()
        ));
    }
    Ok(all)
}

fn address(setting: &str, word: &str) -> Result<IpAddr, String> {
    word.parse().map_err(|_| format!("the setting {setting}: {word:?} is not an address"))
}

fn names<'a>(setting: &str, words: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = |word: &str| {
        let plain = word.len() <= 253 && word.chars().all(good) && !word.starts_with('-');
        plain.then(|| word.to_owned()).ok_or_else(|| format!("the setting {setting}: {word:?} is not a name"))
    };
    words.map(name).collect()
}

/// Such as `edns0` and `ndots:2`.
fn options(value: &str) -> Result<Vec<String>, String> {
    let good = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_'));
    let option = |word: &str| {
        good(word)
            .then(|| word.to_owned())
            .ok_or_else(|| format!("the setting options: {word:?} is not an option"))
    };
    words(value).map(option).collect()
}

/// One entry a line, or with semicolons between: an address and its names.
fn hosts(value: &str) -> Result<Vec<String>, String> {
    let entries = value.split(['\n', ';']).map(str::trim).filter(|entry| !entry.is_empty());
    let entry = |entry: &str| {
        let mut words = entry.split_whitespace();
        let address = address("hosts", words.next().unwrap_or_default())?;
        let names = names("hosts", words)?;
        if names.is_empty() {
            return Err(format!("the setting hosts: {address} has no name"));
        }
        Ok(format!("{address}\t{}", names.join(" ")))
    };
    entries.map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let pair = |(name, value): &(&str, &str)| Pair { name: (*name).into(), value: (*value).into() };
        Settings::read(&pairs.iter().map(pair).collect::<Vec<_>>())
    }

    #[test]
    fn settings_become_lines() {
        let settings = read(&[
            ("nameservers", "10.0.0.1, fd00::1"),
            ("search", "lan example.org"),
            ("options", "edns0 ndots:2"),
            ("hosts", "10.0.0.5 db db.lan; fd00::6 cache"),
            ("force", "true"),
        ])
        .unwrap();
        assert_eq!(
            settings.resolv_conf(),
            ["nameserver 10.0.0.1", "nameserver fd00::1", "search lan example.org", "options edns0 ndots:2"]
        );
        assert_eq!(settings.hosts(), ["10.0.0.5\tdb db.lan", "fd00::6\tcache"]);
        assert!(settings.force && read(&[]).unwrap().resolv_conf().is_empty());
    }

    #[test]
    fn what_no_resolver_understands_is_refused_with_its_name() {
        for (name, value, word) in [
            ("nameservers", "dns.lan", "\"dns.lan\" is not an address"),
            ("nameservers", "1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4", "the first 3"),
            ("search", "a b;c", "\"b;c\" is not a name"),
            ("search", "#x", "not a name"),
            ("options", "a b=c", "not an option"),
            ("hosts", "10.0.0.5", "has no name"),
            ("hosts", "db 10.0.0.5", "\"db\" is not an address"),
            ("hosts", "10.0.0.5 db # the database", "\"#\" is not a name"),
            ("force", "1", "true or false"),
            ("nameserver", "10.0.0.1", "no setting \"nameserver\""),
        ] {
            assert!(read(&[(name, value)]).unwrap_err().contains(word), "{name} {value}");
        }
    }
}
