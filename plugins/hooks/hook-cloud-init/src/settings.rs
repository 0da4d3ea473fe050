//! What the settings mean.

use std::net::IpAddr;

use crate::bindings::wxc::host::types::Pair;
use crate::instance;

/// What a container's cloud-init is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub user_data: Option<String>,
    pub vendor_data: Option<String>,
    pub ssh_keys: Vec<String>,
    pub hostname: Option<String>,
    pub instance_id: Option<String>,
    pub network: Network,
    pub gateways: Vec<IpAddr>,
    pub nameservers: Vec<IpAddr>,
    pub search: Vec<String>,
}

/// Where the configuration of the network comes from.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The interfaces and addresses that the container has.
    #[default]
    Plan,
    /// cloud-init does as it likes.
    Left,
    /// A text of the user's.
    Text(String),
}

/// The settings there are.
const KEYS: &str = "user-data, vendor-data, ssh-keys, hostname, instance-id, network, network-config, gateway, \
                    nameservers and search";

/// How a text begins that cloud-init knows what to do with.
const BEGINNINGS: &[&str] = &[
    "#cloud-config",
    "#!",
    "#include",
    "#cloud-boothook",
    "#part-handler",
    "## template:",
    "Content-Type:",
    "MIME-Version:",
];

impl Settings {
    /// An unknown key is refused: what somebody believes to be set is otherwise missing in a machine that nobody can log in to.
    pub fn read(pairs: &[Pair]) -> Result<Self, String> {
        let mut settings = Self::default();
        let given = |key: &str| pairs.iter().any(|pair| pair.name == key);
        if given("network") && given("network-config") {
            return Err("the setting network: is not said beside network-config".into());
        }
        for Pair { name, value } in pairs {
            let said = |why: String| format!("the setting {name}: {why}");
            match name.as_str() {
                "user-data" => settings.user_data = Some(data(value).map_err(said)?),
                "vendor-data" => settings.vendor_data = Some(data(value).map_err(said)?),
                "ssh-keys" => settings.ssh_keys = keys(value).map_err(said)?,
                "hostname" => settings.hostname = Some(host_name(value).map_err(said)?),
                "instance-id" => settings.instance_id = Some(instance::id(value).map_err(said)?),
                "network" => settings.choose_network(value).map_err(said)?,
                "network-config" => settings.network = Network::Text(value.clone()),
                "gateway" => settings.gateways = addresses(value).map_err(said)?,
                "nameservers" => settings.nameservers = addresses(value).map_err(said)?,
                "search" => {
                    settings.search = words(value).map(host_name).collect::<Result<_, _>>().map_err(said)?;
                }
                _ => return Err(format!("there is no setting {name:?}; there are {KEYS}")),
            }
        }
        Ok(settings)
    }

    fn choose_network(&mut self, value: &str) -> Result<(), String> {
        match value {
            "plan" => self.network = Network::Plan,
            "none" => self.network = Network::Left,
            _ => return Err(format!("is plan or none, and not {value:?}")),
        }
        Ok(())
    }
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty())
}

fn data(value: &str) -> Result<String, String> {
    if BEGINNINGS.iter().any(|beginning| value.starts_with(beginning)) {
        return Ok(value.to_owned());
    }
    let line = value.lines().next().unwrap_or_default();
    Err(format!(
        "cloud-init would ignore a text that begins with {line:?}; most begin with #cloud-config or #!"
    ))
}

/// As in `authorized_keys`, one a line.
fn keys(value: &str) -> Result<Vec<String>, String> {
    let lines = value.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let kinds = ["ssh-", "ecdsa-", "sk-"];
    let key = |line: &str| {
        let has_kind = line.split_whitespace().any(|word| kinds.iter().any(|kind| word.starts_with(kind)));
        let shown: String = line.chars().take(20).collect();
        let known = has_kind && !line.contains(char::is_control);
        known.then(|| line.to_owned()).ok_or_else(|| format!("the line {shown:?}... is no public key"))
    };
    lines.map(key).collect()
}

fn host_name(value: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let plain = !value.is_empty() && value.len() <= 253 && value.chars().all(good) && !value.starts_with('-');
    plain.then(|| value.to_owned()).ok_or_else(|| format!("{value:?} is not a name"))
}

fn addresses(value: &str) -> Result<Vec<IpAddr>, String> {
    words(value).map(|word| word.parse().map_err(|_| format!("{word:?} is not an address"))).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let pair = |(name, value): &(&str, &str)| Pair { name: (*name).into(), value: (*value).into() };
        Settings::read(&pairs.iter().map(pair).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_set_arrives() {
        let settings = read(&[
            ("user-data", "#!/bin/sh\ntrue\n"),
            ("ssh-keys", "# mine\nssh-ed25519 AAAA me\n\nno-pty sk-ssh-ed25519@openssh.com AAAA"),
            ("network-config", "version: 2\n"),
            ("gateway", "10.0.0.1, fd00::1"),
        ])
        .unwrap();
        assert_eq!(settings.ssh_keys.len(), 2);
        assert_eq!(settings.network, Network::Text("version: 2\n".into()));
        assert_eq!(settings.gateways.len(), 2);
    }

    #[test]
    fn what_cloud_init_would_ignore_is_refused_with_its_name() {
        for (name, value, word) in [
            ("user-data", "packages: [vim]", "begins with \"packages: [vim]\""),
            ("vendor-data", "", "begins with \"\""),
            ("ssh-keys", "-----BEGIN OPENSSH PRIVATE KEY-----", "is no public key"),
            ("hostname", "a b", "\"a b\" is not a name"),
            ("instance-id", "../x", "instance-id"),
            ("network", "dhcp", "plan or none"),
            ("gateway", "router", "not an address"),
            ("userdata", "#!", "no setting \"userdata\""),
        ] {
            assert!(read(&[(name, value)]).unwrap_err().contains(word), "{name} {value}");
        }
        let both = [("network", "none"), ("network-config", "x")];
        assert!(read(&both).unwrap_err().contains("beside"));
        assert!(read(&[both[1], both[0]]).unwrap_err().contains("beside"));
    }
}
