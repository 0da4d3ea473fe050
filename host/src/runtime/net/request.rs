#![forbid(unsafe_code)]
//! Messages of rtnetlink(7), and reading what comes back. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage, AddressScope},
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};

use crate::plan::{Address, Route};

/// One end of a pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: Option<u32>,
    pub(super) up: bool,
}

impl End<'_> {
    fn message(self) -> LinkMessage {
        let mut message = LinkMessage::default();
        if self.up {
            set_up(&mut message);
        }
        message.attributes.push(LinkAttribute::IfName(self.name.to_owned()));
        message.attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        message.attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        message
    }
}

/// A pair with its far end in `netns`, the near one in the bridge of this index.
pub(super) fn pair(
    near: End<'_>,
    far: End<'_>,
    bridge: Option<u32>,
    netns: BorrowedFd<'_>,
) -> RouteNetlinkMessage {
    let mut peer = far.message();
    peer.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
    let mut message = near.message();
    message.attributes.extend(bridge.map(LinkAttribute::Controller));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    RouteNetlinkMessage::NewLink(message)
}

fn set_up(message: &mut LinkMessage) {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
}

pub(super) fn link_up(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    set_up(&mut message);
    RouteNetlinkMessage::SetLink(message)
}

pub(super) fn link_named(name: &str) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    RouteNetlinkMessage::GetLink(message)
}

pub(super) fn all_links() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetLink(LinkMessage::default())
}

pub(super) fn delete_link(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    RouteNetlinkMessage::DelLink(message)
}

pub(super) fn all_addresses() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

pub(super) fn address(index: u32, address: &Address) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.address);
    message.header.prefix_len = address.prefix;
    message.header.index = index;
    message.header.scope = scope(address.address);
    message.attributes.push(AddressAttribute::Local(address.address));
    message.attributes.push(AddressAttribute::Address(address.address));
    if let IpAddr::V4(local) = address.address
        && let Some(broadcast) = broadcast(local, address.prefix)
    {
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    RouteNetlinkMessage::NewAddress(message)
}

/// The last address of a network that has room for one (RFC 3021: /31 has not).
fn broadcast(local: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    let host_bits = u32::MAX.checked_shr(prefix.into())?;
    (prefix < 31).then(|| Ipv4Addr::from(u32::from(local) | host_bits))
}

fn scope(address: IpAddr) -> AddressScope {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => AddressScope::Link,
        _ => AddressScope::Universe,
    }
}

/// A route through the device of this index that has these addresses.
pub(super) fn route(index: u32, route: &Route, addresses: &[Address]) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    let of = route.destination.as_ref().map(|destination| destination.address).or(route.gateway);
    message.header.address_family = of.map_or(AddressFamily::Inet, family);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Oif(index));
    if let Some(destination) = &route.destination {
        message.header.destination_prefix_length = destination.prefix;
        // The kernel refuses a destination with bits behind its prefix.
        let network = network(destination.address, destination.prefix);
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(network)));
    }
    match route.gateway {
        Some(gateway) => {
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
            if !reachable(gateway, addresses) {
                message.header.flags = RouteFlags::Onlink;
            }
        }
        None => message.header.scope = RouteScope::Link,
    }
    RouteNetlinkMessage::NewRoute(message)
}

/// Does the kernel know by itself that the gateway is on this link? If not it has to be told,
/// which is how a /32 with a gateway works.
fn reachable(gateway: IpAddr, addresses: &[Address]) -> bool {
    let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let same = |own: &Address| {
        own.address.is_ipv4() == gateway.is_ipv4()
            && network(own.address, own.prefix) == network(gateway, own.prefix)
    };
    link_local || addresses.iter().any(same)
}

/// The address without the bits behind the prefix.
fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & !host).into())
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & !host).into())
        }
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// What a link message says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// `None` for a physical device.
    pub(super) kind: Option<InfoKind>,
}

pub(super) fn read_link(message: &LinkMessage) -> Link {
    let mut link = Link { index: message.header.index, name: String::new(), kind: None };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::LinkInfo(infos) => {
                let kind = |info: &LinkInfo| match info {
                    LinkInfo::Kind(kind) => Some(kind.clone()),
                    _ => None,
                };
                link.kind = infos.iter().find_map(kind);
            }
            _ => {}
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Address {
        let (address, prefix) = text.split_once('/').unwrap();
        Address { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    #[test]
    fn broadcast_is_the_end_of_the_network() {
        let of = |text: &str| match cidr(text) {
            Address { address: IpAddr::V4(v4), prefix } => broadcast(v4, prefix).map(|b| b.to_string()),
            Address { .. } => None,
        };
        assert_eq!(of("10.0.3.5/24").as_deref(), Some("10.0.3.255"));
        assert_eq!(of("10.0.3.5/30").as_deref(), Some("10.0.3.7"));
        assert_eq!(of("10.0.3.5/0").as_deref(), Some("255.255.255.255"));
        assert_eq!(of("10.0.3.5/31"), None);
        assert_eq!(of("10.0.3.5/32"), None);
    }

    #[test]
    fn a_gateway_off_the_network_is_declared_on_link() {
        for (gateway, address, expected) in [
            ("10.0.3.1", "10.0.3.5/24", true),
            ("10.0.4.1", "10.0.3.5/24", false),
            ("10.0.3.1", "10.0.3.5/32", false),
            ("fe80::1", "fd00::5/64", true),
            ("fd00::1", "fd00::5/64", true),
            ("fd00::1", "10.0.3.5/0", false),
            ("203.0.113.1", "10.0.3.5/0", true),
        ] {
            assert_eq!(
                reachable(gateway.parse().unwrap(), &[cidr(address)]),
                expected,
                "{gateway} {address}"
            );
        }
    }

    #[test]
    fn a_destination_loses_its_host_bits() {
        let plan = Route { destination: Some(cidr("10.1.2.3/16")), gateway: None };
        let RouteNetlinkMessage::NewRoute(message) = route(2, &plan, &[]) else { panic!("not a route") };
        let expected = RouteAttribute::Destination(RouteAddress::Inet([10, 1, 0, 0].into()));
        assert!(message.attributes.contains(&expected));
        assert_eq!(message.header.scope, RouteScope::Link);
        assert_eq!(network("fd00::1:2".parse().unwrap(), 0), IpAddr::from([0u16; 8]));
    }

    #[test]
    fn an_ipv6_default_route_is_of_its_gateways_family() {
        let plan = Route { destination: None, gateway: Some("fd00::1".parse().unwrap()) };
        let RouteNetlinkMessage::NewRoute(message) = route(2, &plan, &[]) else { panic!("not a route") };
        assert_eq!(message.header.address_family, AddressFamily::Inet6);
        assert_eq!(message.header.flags, RouteFlags::Onlink);
    }
}
