//! From the answer of a client to a lease.
//!
//! The client prints what it was told, each value with a NUL behind it. All of it comes from whoever answers in that network:
//! what is not an address, a number or a name is left out.

use std::fmt;
use std::net::Ipv4Addr;

/// What a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub address: Address,
    pub router: Option<Ipv4Addr>,
    pub nameservers: Vec<Ipv4Addr>,
    pub domain: Option<String>,
    server: Option<Ipv4Addr>,
    seconds: Option<u32>,
}

/// An address and the length of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(Ipv4Addr, u8);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(server) = self.server {
            write!(f, " of {server}")?;
        }
        match self.seconds {
            // As in RFC 2131.
            None | Some(u32::MAX) => write!(f, " for good"),
            Some(seconds) => write!(f, " for {seconds} seconds, and then not renewed before the next start"),
        }
    }
}

/// The lease that a client printed.
///
/// # Errors
/// What is missing.
pub fn read(said: &[u8]) -> Result<Lease, &'static str> {
    let said = String::from_utf8_lossy(said);
    let fields: Vec<&str> = said.split('\0').collect();
    // One record for each event; the last one is what holds.
    let begin = fields.iter().rposition(|field| *field == "event=bound").ok_or("no lease")?;
    let get =
        |name: &str| fields[begin..].iter().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let address = get("ip").and_then(|text| text.parse().ok()).filter(is_usable).ok_or("no address")?;
    let prefix = get("subnet").and_then(prefix).ok_or("no usable mask")?;
    let list = |name| {
        get(name).unwrap_or_default().split(' ').filter_map(|word| word.parse().ok()).filter(is_usable)
    };
    Ok(Lease {
        address: Address(address, prefix),
        router: list("router").next(),
        nameservers: list("dns").collect(),
        domain: get("domain").filter(|text| is_domain(text)).map(str::to_owned),
        server: get("serverid").and_then(|text| text.parse().ok()),
        seconds: get("lease").and_then(|text| text.parse().ok()),
    })
}

/// One that a machine can have: nobody's, everybody's and its own are not.
fn is_usable(address: &Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.is_loopback())
}

/// The length of a network, of its mask.
fn prefix(mask: &str) -> Option<u8> {
    let bits = mask.parse::<Ipv4Addr>().ok()?.to_bits();
    let length = bits.leading_ones();
    // Ones and then zeros; and never the whole world.
    (length > 0 && bits.count_ones() == length).then(|| u8::try_from(length).ok())?
}

fn is_domain(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && text.len() <= 253 && text.chars().all(good) && !text.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(variables: &[&str]) -> Vec<u8> {
        let first = "event=deconfig\0interface=eth0\0event=bound\0interface=eth0\0";
        format!("{first}{}\0", variables.join("\0")).into_bytes()
    }

    #[test]
    fn a_lease_is_what_the_client_was_told() {
        let said = answer(&[
            "ip=10.88.0.53",
            "subnet=255.255.255.0",
            "router=10.88.0.1 10.88.0.9",
            "dns=10.88.0.2 10.88.0.3",
            "domain=lan",
            "serverid=10.88.0.1",
            "lease=3600",
        ]);
        let lease = read(&said).unwrap();
        assert_eq!(lease.address.to_string(), "10.88.0.53/24");
        assert_eq!(lease.router, Some(Ipv4Addr::new(10, 88, 0, 1)));
        assert_eq!((lease.nameservers.len(), lease.domain.as_deref()), (2, Some("lan")));
        assert!(lease.to_string().contains("of 10.88.0.1 for 3600 seconds"), "{lease}");
    }

    #[test]
    fn what_a_stranger_says_goes_no_further_than_it_may() {
        let base = ["ip=10.88.0.53", "subnet=255.255.255.0"];
        let with = |more: &str| read(&answer(&[base[0], base[1], more])).unwrap();
        assert_eq!(with("domain=lan\nnameserver 6.6.6.6").domain, None);
        assert_eq!(with("domain=-x").domain, None);
        assert!(with("dns=127.0.0.1 ff; x 0.0.0.0").nameservers.is_empty());
        assert_eq!(with("router=fe80::1").router, None);
        assert_eq!(with("xip=1.2.3.4").address.to_string(), "10.88.0.53/24");
        for (variables, why) in [
            (&["ip=--help", base[1]][..], "no address"),
            (&["ip=224.0.0.1", base[1]], "no address"),
            (&["ip=10.88.0.53", "subnet=255.0.255.0"], "no usable mask"),
            (&["ip=10.88.0.53", "subnet=0.0.0.0"], "no usable mask"),
            (&["ip=10.88.0.53"], "no usable mask"),
        ] {
            assert_eq!(read(&answer(variables)).unwrap_err(), why);
        }
        assert_eq!(read(b"event=deconfig\0interface=eth0\0").unwrap_err(), "no lease");
        // In a value, which is not a beginning.
        assert_eq!(read(b"event=deconfig\0message=event=bound\0ip=1.2.3.4\0").unwrap_err(), "no lease");
    }
}
