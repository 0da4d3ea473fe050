#![forbid(unsafe_code)]
//! The network of a container: which devices are made, with which names, addresses and routes.

use crate::config::Container;
use crate::config::network::{Cidr, Network, NetworkKind};

use super::facts::Facts;
use super::namespaces::shares_network;
use super::{Address, LinkKind, LinkPlan, NetworkPlan, PlanError, Route};

/// The network part of the plan.
///
/// # Errors
/// When the caller may not make the devices.
pub fn plan(container: &Container, facts: &Facts) -> Result<NetworkPlan, PlanError> {
    let veths = container.network.iter().enumerate().filter(|(_, entry)| entry.kind == NetworkKind::Veth);
    let links: Vec<LinkPlan> = veths.map(|(index, entry)| link(index, entry)).collect();
    if !links.is_empty() && !facts.caller.is_root() {
        return Err(PlanError::refused(
            "network",
            "only root can put a device into the network of the host",
            "start it as root, or use `type = \"empty\"` or `type = \"none\"`",
        ));
    }
    Ok(NetworkPlan { host: shares_network(container), links })
}

fn link(index: usize, entry: &Network) -> LinkPlan {
    let default_routes =
        entry.gateways.iter().map(|gateway| Route { destination: None, gateway: Some(*gateway) });
    let routes = entry
        .routes
        .iter()
        .map(|route| Route { destination: Some(address(route.destination)), gateway: route.gateway });
    LinkPlan {
        kind: LinkKind::Veth { bridge: entry.bridge.clone() },
        name: entry.name.clone().unwrap_or_else(|| format!("eth{index}")),
        host_name: entry.host_name.clone(),
        mac: entry.mac.map(|mac| mac.to_string()),
        mtu: entry.mtu,
        up: !entry.down,
        addresses: entry.addresses.iter().copied().map(address).collect(),
        // Routes to gateways that are not neighbours come first: a default route may need them.
        routes: routes.chain(default_routes).collect(),
    }
}

fn address(cidr: Cidr) -> Address {
    Address { address: cidr.address, prefix: cidr.prefix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth() -> Network {
        Network {
            bridge: Some("br0".into()),
            addresses: vec!["10.0.3.5/24".parse().unwrap()],
            gateways: vec!["10.0.3.1".parse().unwrap()],
            routes: vec!["10.1.0.0/16 via 10.0.3.254".parse().unwrap()],
            ..Network::new(NetworkKind::Veth)
        }
    }

    #[test]
    fn nothing_configured_is_loopback_alone() {
        let plan = plan(&Container::default(), &Facts::ordinary()).unwrap();
        assert_eq!(plan, NetworkPlan { host: false, links: Vec::new() });
    }

    #[test]
    fn a_veth_gets_a_name_by_position_and_the_default_route_last() {
        let container = Container { network: vec![veth(), veth()], ..Container::default() };
        let plan = plan(&container, &Facts::ordinary()).unwrap();
        assert_eq!(plan.links[1].name, "eth1");
        assert_eq!(plan.links[0].routes.last().unwrap().destination, None);
    }

    #[test]
    fn a_user_cannot_plug_into_the_host() {
        let mut facts = Facts::ordinary();
        facts.caller.uid = 1000;
        let container = Container { network: vec![veth()], ..Container::default() };
        assert!(plan(&container, &facts).is_err());
    }
}
