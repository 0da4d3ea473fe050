//! The interfaces of the plan, as cloud-init has them configured (version 2 of its format, which is netplan's).

use std::net::IpAddr;

use crate::bindings::wxc::hook::types::NetworkInterface;
use crate::seed::{list, quoted};
use crate::settings::{Network, Settings};

/// The text of `network-config`; `None` where cloud-init is to do as it likes.
///
/// # Errors
/// A gateway that no interface reaches, as a sentence.
pub fn config(settings: &Settings, interfaces: &[NetworkInterface]) -> Result<Option<String>, String> {
    match &settings.network {
        Network::Left => Ok(None),
        Network::Text(text) => Ok(Some(text.clone())),
        // A container that shares a network, or has none, must not be told to change it.
        Network::Plan if interfaces.is_empty() => Ok(Some("config: disabled\n".into())),
        Network::Plan => planned(settings, interfaces).map(Some),
    }
}

fn planned(settings: &Settings, interfaces: &[NetworkInterface]) -> Result<String, String> {
    if let Some(gateway) =
        settings.gateways.iter().find(|gateway| !interfaces.iter().any(|i| reaches(i, gateway)))
    {
        let all: Vec<&str> = interfaces.iter().flat_map(|i| &i.addresses).map(String::as_str).collect();
        let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        return Err(format!(
            "the setting gateway: {gateway} is in no network of the container's addresses ({all})"
        ));
    }
    let mut text = String::from("version: 2\nethernets:\n");
    for interface in interfaces {
        text.push_str(&format!("  {}:\n", quoted(&interface.name)));
        if interface.addresses.is_empty() {
            text.push_str("    dhcp4: true\n");
        } else {
            fixed(&mut text, settings, interface);
        }
    }
    Ok(text)
}

fn fixed(text: &mut String, settings: &Settings, interface: &NetworkInterface) {
    text.push_str(&format!("    addresses: {}\n", list(&interface.addresses)));
    let gateways: Vec<&IpAddr> =
        settings.gateways.iter().filter(|gateway| reaches(interface, gateway)).collect();
    if !gateways.is_empty() {
        text.push_str("    routes:\n");
    }
    for gateway in gateways {
        let everywhere = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        text.push_str(&format!("      - {{to: \"{everywhere}\", via: \"{gateway}\"}}\n"));
    }
    if !settings.nameservers.is_empty() || !settings.search.is_empty() {
        let (servers, search) = (list(&settings.nameservers), list(&settings.search));
        text.push_str(&format!("    nameservers: {{addresses: {servers}, search: {search}}}\n"));
    }
}

/// Whether an address is in one of the interface's networks.
fn reaches(interface: &NetworkInterface, other: &IpAddr) -> bool {
    interface.addresses.iter().any(|address| {
        let Some((own, prefix)) = address.split_once('/') else { return false };
        let (Ok(own), Ok(prefix)) = (own.parse(), prefix.parse()) else { return false };
        shares_network(own, *other, prefix)
    })
}

fn shares_network(one: IpAddr, other: IpAddr, prefix: u32) -> bool {
    let difference = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    difference >= prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::read;

    fn interface(name: &str, addresses: &[&str]) -> NetworkInterface {
        NetworkInterface {
            name: name.into(),
            kind: "veth".into(),
            parent: None,
            peer: None,
            hardware_address: None,
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
        }
    }

    #[test]
    fn each_interface_is_configured_as_the_plan_has_it() {
        let settings =
            read(&[("gateway", "10.0.3.1 fd00::1"), ("nameservers", "10.0.3.2"), ("search", "lan")]).unwrap();
        let interfaces = [interface("eth0", &["10.0.3.7/24", "fd00::7/64"]), interface("eth1", &[])];
        let text = config(&settings, &interfaces).unwrap().unwrap();
        assert_eq!(
            text,
            "version: 2\nethernets:\n  \"eth0\":\n    addresses: [\"10.0.3.7/24\", \"fd00::7/64\"]\n    routes:\n      \
             - {to: \"0.0.0.0/0\", via: \"10.0.3.1\"}\n      - {to: \"::/0\", via: \"fd00::1\"}\n    nameservers: \
             {addresses: [\"10.0.3.2\"], search: [\"lan\"]}\n  \"eth1\":\n    dhcp4: true\n"
        );
    }

    #[test]
    fn a_gateway_that_nothing_reaches_is_an_error() {
        let settings = read(&[("gateway", "10.0.4.1")]).unwrap();
        let why = config(&settings, &[interface("eth0", &["10.0.3.7/24"])]).unwrap_err();
        assert!(why.contains("10.0.4.1") && why.contains("10.0.3.7/24"), "{why}");
    }

    #[test]
    fn without_interfaces_nothing_is_configured_and_a_text_is_taken_as_it_is() {
        let plan = read(&[("gateway", "10.0.4.1")]).unwrap();
        assert_eq!(config(&plan, &[]).unwrap().as_deref(), Some("config: disabled\n"));
        assert_eq!(config(&read(&[("network", "none")]).unwrap(), &[]).unwrap(), None);
        let text = read(&[("network-config", "version: 1\n")]).unwrap();
        assert_eq!(config(&text, &[]).unwrap().as_deref(), Some("version: 1\n"));
    }

    #[test]
    fn networks_end_at_their_prefix() {
        let shares = |one: &str, other: &str, prefix| {
            shares_network(one.parse().unwrap(), other.parse().unwrap(), prefix)
        };
        assert!(shares("10.0.3.7", "10.0.3.255", 24) && !shares("10.0.3.7", "10.0.4.0", 24));
        assert!(shares("10.0.3.7", "10.0.3.7", 32) && shares("1.2.3.4", "200.0.0.1", 0));
        assert!(shares("fd00::1", "fd00::2", 64) && !shares("fd00::1", "10.0.0.1", 0));
    }
}
