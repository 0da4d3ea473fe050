#![forbid(unsafe_code)]
//! `[[network]]`: the devices of the container's network. None given is loopback alone.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::is_default;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    #[serde(rename = "type")]
    pub kind: NetworkKind,
    /// Name inside; `eth0`, `eth1`, ... by position when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the end that stays on the host; chosen when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Existing bridge of the host that the host's end is put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Leave the device down: the guest's own network manager brings it up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub down: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub addresses: Vec<Cidr>,
    /// Of the default routes, at most one per family.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gateways: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub routes: Vec<Via>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// Loopback alone.
    Empty,
    /// The host's network.
    None,
    /// A pair of virtual devices, one end in the container.
    Veth,
}

impl Network {
    /// An entry of this kind with nothing else said.
    #[must_use]
    pub fn new(kind: NetworkKind) -> Self {
        Self {
            kind,
            name: None,
            host_name: None,
            bridge: None,
            mac: None,
            mtu: None,
            down: false,
            addresses: Vec::new(),
            gateways: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// An address and the length of its network: `10.0.3.5/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

/// A route: `10.1.0.0/16 via 10.0.3.254`, or without `via` straight to the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via {
    pub destination: Cidr,
    pub gateway: Option<IpAddr>,
}

/// A unicast hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{}\" is not an address with its prefix length, as in \"10.0.3.5/24\"",
                text.escape_debug()
            )
        };
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Via {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("\"{}\" is not a route: {why}, as in \"10.1.0.0/16 via 10.0.3.254\"", text.escape_debug())
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (destination, gateway) = match words[..] {
            [destination] => (destination, None),
            [destination, "via", gateway] => (destination, Some(gateway)),
            _ => return Err(wrong("write DESTINATION via GATEWAY")),
        };
        let destination: Cidr = destination.parse()?;
        let gateway = gateway.map(str::parse::<IpAddr>).transpose();
        let gateway = gateway.map_err(|_| wrong("the gateway is no address"))?;
        if gateway.is_some_and(|gateway| gateway.is_ipv4() != destination.address.is_ipv4()) {
            return Err(wrong("the gateway is of the other family"));
        }
        Ok(Self { destination, gateway })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.destination.fmt(f)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, " via {gateway}"))
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "\"{}\" is not a hardware address: {why}, as in \"10:66:6a:00:00:01\"",
                text.escape_debug()
            )
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            let part = part.ok_or_else(|| wrong("six pairs of hexadecimal digits are needed"))?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong("these are no digits"))?;
        }
        match parts.next() {
            Some(_) => Err(wrong("six pairs of hexadecimal digits are needed")),
            None if bytes[0] & 1 == 1 => Err(wrong("it is a multicast one, the first byte must be even")),
            None if bytes == [0; 6] => Err(wrong("all zero is no address")),
            None => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Strings in the file, types here.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

as_text!(Cidr, Via, Mac);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_the_same() {
        for text in ["10.0.3.5/24", "fd00::5/64", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        for text in ["10.1.0.0/16 via 10.0.3.254", "fd01::/32"] {
            assert_eq!(text.parse::<Via>().unwrap().to_string(), text);
        }
        assert_eq!("10:66:6A:00:00:01".parse::<Mac>().unwrap().to_string(), "10:66:6a:00:00:01");
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "10.0.3.5", "10.0.3.5/33", "10.0.3.5/+4", "::/129", "10.0.3/24"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        for text in ["10.1.0.0/16 via", "10.1.0.0/16 via fd00::1", "via 10.0.0.1", "10.1.0.0/16 10.0.0.1"] {
            assert!(text.parse::<Via>().is_err(), "{text}");
        }
        for text in [
            "",
            "1:2:3:4:5:6",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "10:66:6a:00:00:01:02",
            "10-66-6a-00-00-01",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
