//! Pairs of network devices between two network namespaces, one of which plays the host.

use std::os::fd::{AsFd, OwnedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage},
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use wxc::{
    plan::{Address, LinkKind, LinkPlan, NetworkPlan, Route},
    runtime::net::{self, NetError},
    sys::netlink::{self, Netlink},
};

/// Two namespaces that belong to this test's thread.
struct World {
    host: OwnedFd,
    container: OwnedFd,
}

impl World {
    /// The thread ends up in the new "host".
    fn new() -> Self {
        let container = fresh_namespace();
        Self { host: fresh_namespace(), container }
    }

    fn host(&self) -> Netlink {
        netlink::socket_in(self.host.as_fd()).unwrap()
    }

    fn links_of_host(&self) -> Vec<String> {
        net::inspect(self.host.as_fd()).unwrap().into_iter().map(|interface| interface.name).collect()
    }

    fn make_bridge(&self, name: &str) {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        let request = RouteNetlinkMessage::NewLink(message);
        self.host().change(request, NLM_F_CREATE | NLM_F_EXCL).unwrap();
    }
}

#[allow(unsafe_code, reason = "leaving a network namespace")]
fn fresh_namespace() -> OwnedFd {
    // SAFETY: only the network namespace of this thread is left; no file descriptor depends on it.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
    netlink::own_namespace().unwrap()
}

fn cidr(text: &str) -> Address {
    let (address, prefix) = text.split_once('/').unwrap();
    Address { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
}

fn veth(bridge: Option<&str>) -> LinkPlan {
    LinkPlan {
        kind: LinkKind::Veth { bridge: bridge.map(str::to_owned) },
        name: "eth0".into(),
        host_name: None,
        mac: None,
        mtu: None,
        up: true,
        addresses: vec![],
        routes: vec![],
    }
}

fn plan(links: Vec<LinkPlan>) -> NetworkPlan {
    NetworkPlan { host: false, links }
}

#[test]
fn an_empty_network_has_a_loopback_that_is_up() {
    if !crate::root("an_empty_network") {
        return;
    }
    let world = World::new();
    assert_eq!(net::apply(&plan(vec![]), world.container.as_fd()).unwrap(), []);
    let inside = net::inspect(world.container.as_fd()).unwrap();
    assert_eq!(inside.len(), 1);
    assert!(inside[0].loopback && inside[0].up && inside[0].name == "lo");
    assert!(inside[0].addresses.contains(&cidr("127.0.0.1/8")));
    let here = netlink::own_namespace().unwrap();
    let (here, host) = (rustix::fs::fstat(&here).unwrap(), rustix::fs::fstat(&world.host).unwrap());
    assert_eq!(here.st_ino, host.st_ino, "the thread came back");
}

#[test]
fn a_pair_in_a_bridge_with_addresses_and_routes() {
    if !crate::root("a_pair_in_a_bridge") {
        return;
    }
    let world = World::new();
    world.make_bridge("br-test");
    let link = LinkPlan {
        mac: Some("10:66:6a:01:02:03".into()),
        mtu: Some(1400),
        addresses: vec![cidr("10.0.3.5/24"), cidr("fd00:3::5/64")],
        routes: vec![
            Route { destination: None, gateway: Some("10.0.3.1".parse().unwrap()) },
            Route { destination: None, gateway: Some("fd00:3::1".parse().unwrap()) },
            Route { destination: Some(cidr("10.9.1.2/16")), gateway: Some("10.8.0.1".parse().unwrap()) },
            Route { destination: Some(cidr("10.7.0.0/16")), gateway: None },
        ],
        ..veth(Some("br-test"))
    };
    let made = net::apply(&plan(vec![link]), world.container.as_fd()).unwrap();
    assert_eq!(made.len(), 1);
    assert!(made[0].name.starts_with("veth") && made[0].inside == "eth0");

    let inside = net::inspect(world.container.as_fd()).unwrap();
    let eth0 = inside.iter().find(|interface| interface.name == "eth0").unwrap();
    assert_eq!(eth0.mac.as_deref(), Some("10:66:6a:01:02:03"));
    assert_eq!(eth0.mtu, 1400);
    assert!(eth0.up && eth0.carrier);
    assert!(eth0.addresses.contains(&cidr("10.0.3.5/24")) && eth0.addresses.contains(&cidr("fd00:3::5/64")));
    let routes = routes(&world);
    for expected in ["0.0.0.0/0 10.0.3.1", "::/0 fd00:3::1", "10.9.0.0/16 10.8.0.1", "10.7.0.0/16 -"] {
        assert!(routes.iter().any(|route| route == expected), "{expected} is not in {routes:?}");
    }
    assert!(master_of(&world, &made[0].name).is_some());

    net::remove(&made).unwrap();
    assert_eq!(world.links_of_host(), ["lo", "br-test"]);
    net::remove(&made).unwrap();
}

#[test]
fn a_fixed_name_is_free_again_when_the_container_is_gone() {
    if !crate::root("a_fixed_name") {
        return;
    }
    let world = World::new();
    let link = LinkPlan { host_name: Some("web0".into()), ..veth(None) };
    for _start in 0..3 {
        let container = fresh_namespace();
        move_into_link_name_space(world.host.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let made = net::apply(&plan(vec![link.clone()]), container.as_fd()).unwrap();
        let taken = net::apply(&plan(vec![link.clone()]), world.container.as_fd());
        assert!(matches!(&taken, Err(NetError::Taken { name }) if name == "web0"), "{taken:?}");
        drop(container);
        net::remove(&made).unwrap();
    }
}

#[test]
fn failures_say_what_and_leave_nothing() {
    if !crate::root("failures_say_what") {
        return;
    }
    let world = World::new();
    world.make_bridge("br-one");
    let apply = |link| {
        net::apply(&plan(vec![veth(None), LinkPlan { name: "eth1".into(), ..link }]), world.container.as_fd())
    };

    let missing = apply(veth(Some("br-two"))).unwrap_err();
    assert_eq!(missing.to_string(), "there is no bridge named br-two");
    assert_eq!(missing.hint().unwrap(), "bridges of this host: br-one");
    let loopback = apply(veth(Some("lo"))).unwrap_err();
    assert!(matches!(loopback, NetError::Name { .. }));

    let unreachable = Route { destination: None, gateway: Some("224.0.0.1".parse().unwrap()) };
    let route = apply(LinkPlan { routes: vec![unreachable], ..veth(None) }).unwrap_err();
    assert!(route.to_string().starts_with("cannot add the default route via 224.0.0.1 to eth1: "), "{route}");
    let twice = vec![cidr("10.0.3.5/24"), cidr("10.0.3.5/24")];
    let address = apply(LinkPlan { addresses: twice, ..veth(None) }).unwrap_err();
    assert!(
        address.to_string().starts_with("cannot give eth1 the address 10.0.3.5/24: File exists"),
        "{address}"
    );

    assert_eq!(world.links_of_host(), ["lo", "br-one"]);
    assert_eq!(net::inspect(world.container.as_fd()).unwrap().len(), 1, "only lo");
}

/// `DESTINATION GATEWAY` of the main table inside.
fn routes(world: &World) -> Vec<String> {
    let mut socket = netlink::socket_in(world.container.as_fd()).unwrap();
    let all = socket.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default())).unwrap();
    let address = |address: &RouteAddress| match address {
        RouteAddress::Inet(v4) => v4.to_string(),
        RouteAddress::Inet6(v6) => v6.to_string(),
        other => format!("{other:?}"),
    };
    let line = |message| {
        let RouteNetlinkMessage::NewRoute(message) = message else { return String::new() };
        let any = match message.header.address_family {
            netlink_packet_route::AddressFamily::Inet => "0.0.0.0",
            _ => "::",
        };
        let (mut destination, mut gateway) = (any.to_owned(), "-".to_owned());
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(to) => destination = address(to),
                RouteAttribute::Gateway(via) => gateway = address(via),
                _ => {}
            }
        }
        format!("{destination}/{} {gateway}", message.header.destination_prefix_length)
    };
    all.into_iter().map(line).collect()
}

/// Index of the bridge that a device of the host is in.
fn master_of(world: &World, name: &str) -> Option<u32> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.into()));
    match world.host().get(RouteNetlinkMessage::GetLink(message)).unwrap() {
        Some(RouteNetlinkMessage::NewLink(link)) => {
            link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::Controller(index) => Some(*index),
                _ => None,
            })
        }
        _ => None,
    }
}
