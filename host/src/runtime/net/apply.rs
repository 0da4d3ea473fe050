#![forbid(unsafe_code)]
//! Make the devices of a plan, configure them, undo it.

use std::os::fd::BorrowedFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{RouteNetlinkMessage, link::InfoKind};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{
    plan::{LinkKind, LinkPlan, NetworkPlan, Route},
    sys::netlink::{self, Netlink, Refusal},
};

use super::{
    NetError,
    request::{self, End, Link},
};

/// The host's end of a pair, kept in the state file of a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLink {
    /// Name on the host.
    pub name: String,
    pub index: u32,
    /// Name of the other end in the container.
    pub inside: String,
}

/// `IFNAMSIZ` without the terminating zero.
const LONGEST_NAME: usize = 15;
/// How often another name is tried when the chosen one is taken.
const ATTEMPTS: u32 = 32;
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Make all links of `plan` with their ends in `netns`, and bring up its loopback. What was made
/// is removed again when something fails.
///
/// # Errors
/// At the first device, address or route that cannot be had.
pub fn apply(plan: &NetworkPlan, netns: BorrowedFd<'_>) -> Result<Vec<HostLink>, NetError> {
    if plan.host {
        return Ok(Vec::new());
    }
    plan.links.iter().try_for_each(check)?;
    let mut inside = socket_in(netns)?;
    up_loopback(&mut inside)?;
    if plan.links.is_empty() {
        return Ok(Vec::new());
    }
    let mut host = netlink::socket().map_err(|source| NetError::Socket { inside: false, source })?;
    let mut made = Vec::new();
    for link in &plan.links {
        let result = make(link, &mut host, netns).and_then(|end| {
            made.push(end);
            configure(link, &mut inside)
        });
        if let Err(error) = result {
            // The failure that is told is the first one; this is its undoing.
            let _undone = remove(&made);
            return Err(error);
        }
    }
    Ok(made)
}

/// Bring up the loopback device of a network namespace.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel refuses.
pub fn loopback_up(netns: BorrowedFd<'_>) -> Result<(), NetError> {
    up_loopback(&mut socket_in(netns)?)
}

/// Remove host ends that are still there; usually they went with the container's namespace, but
/// the kernel takes its time with that, and a fixed name must be free for the next start.
///
/// # Errors
/// When one is left that cannot be removed.
pub fn remove(links: &[HostLink]) -> Result<(), NetError> {
    if links.is_empty() {
        return Ok(());
    }
    let mut host = netlink::socket().map_err(|source| NetError::Socket { inside: false, source })?;
    for link in links {
        // An index can be another device's by now: it must have our name, too.
        let found = find(&mut host, &link.name)?;
        if found.is_none_or(|found| found.index != link.index || found.kind != Some(InfoKind::Veth)) {
            continue;
        }
        match host.change(request::delete_link(link.index), 0) {
            Err(refusal) if refusal.errno() != Some(Errno::NODEV) => {
                return Err(refused(format!("remove the network device {}", link.name), refusal));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn socket_in(netns: BorrowedFd<'_>) -> Result<Netlink, NetError> {
    netlink::socket_in(netns).map_err(|source| NetError::Socket { inside: true, source })
}

pub(super) fn refused(action: String, source: Refusal) -> NetError {
    NetError::Refused { action, source }
}

/// In every network namespace the loopback device is the first.
const LOOPBACK: u32 = 1;

fn up_loopback(inside: &mut Netlink) -> Result<(), NetError> {
    inside
        .change(request::link_up(LOOPBACK), 0)
        .map_err(|refusal| refused("bring up the loopback device".into(), refusal))
}

/// What can be said before anything is made.
fn check(link: &LinkPlan) -> Result<(), NetError> {
    check_name(&link.name)?;
    link.host_name.as_deref().map_or(Ok(()), check_name)?;
    if let (false, [_, ..]) = (link.up, &link.routes[..]) {
        return Err(NetError::RouteOfDownLink { name: link.name.clone() });
    }
    for route in &link.routes {
        if let Route { destination: Some(destination), gateway: Some(gateway) } = route
            && destination.address.is_ipv4() != gateway.is_ipv4()
        {
            let (gateway, destination) = (*gateway, destination.address);
            return Err(NetError::Family { name: link.name.clone(), gateway, destination });
        }
    }
    Ok(())
}

/// `dev_valid_name` of the kernel, in words.
fn check_name(name: &str) -> Result<(), NetError> {
    let why = match name {
        "" => "it is empty",
        "." | ".." => "it is a directory's",
        "lo" => "it is the loopback device's",
        _ if name.len() > LONGEST_NAME => "it is longer than 15 bytes",
        _ if name.contains(['/', ':']) || name.contains(char::is_whitespace) => {
            "it contains a slash, a colon or white space"
        }
        _ => return Ok(()),
    };
    Err(NetError::Name { name: name.to_owned(), why })
}

/// The pair, its near end in its bridge and up.
fn make(link: &LinkPlan, host: &mut Netlink, netns: BorrowedFd<'_>) -> Result<HostLink, NetError> {
    let LinkKind::Veth { bridge } = &link.kind;
    let bridge = bridge.as_deref().map(|name| find_bridge(host, name)).transpose()?;
    let mac = link.mac.as_deref().map(parse_mac).transpose()?;
    for _attempt in 0..ATTEMPTS {
        let random = random()?;
        let name = link.host_name.clone().unwrap_or_else(|| chosen_name(random));
        // A bridge takes the lowest address of its ports for its own: a high one keeps the
        // bridge's from changing, and its traffic from stopping, when containers come and go.
        let [a, b, c, d, e, ..] = random;
        let near = End { name: &name, mac: Some([0xfe, a, b, c, d, e]), mtu: link.mtu, up: true };
        let far = End { name: &link.name, mac, mtu: link.mtu, up: false };
        match host.change(request::pair(near, far, bridge, netns), NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => {
                let made = find(host, &name)?.map(|found| found.index);
                return made
                    .map(|index| HostLink { name: name.clone(), index, inside: link.name.clone() })
                    .ok_or(NetError::Refused {
                        action: format!("find the network device {name} that was just made"),
                        source: std::io::Error::from(Errno::NODEV).into(),
                    });
            }
            Err(refusal) if refusal.errno() == Some(Errno::EXIST) && find(host, &name)?.is_some() => {
                if link.host_name.is_some() {
                    return Err(NetError::Taken { name });
                }
            }
            Err(refusal) => return Err(refused(format!("make the network device {}", link.name), refusal)),
        }
    }
    Err(NetError::Taken { name: "vethXXXXXX".into() })
}

fn random() -> Result<[u8; 8], NetError> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(|error| {
        refused("choose a name for a network device".into(), std::io::Error::from(error).into())
    })?;
    Ok(bytes)
}

fn chosen_name(random: [u8; 8]) -> String {
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    "veth".chars().chain(random[..6].iter().map(letter)).collect()
}

fn parse_mac(text: &str) -> Result<[u8; 6], NetError> {
    let error = || NetError::Mac(text.to_owned());
    let bytes: Option<Vec<u8>> = text.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(error)
}

/// The device of this name, if there is one.
fn find(socket: &mut Netlink, name: &str) -> Result<Option<Link>, NetError> {
    match socket.get(request::link_named(name)) {
        Ok(Some(RouteNetlinkMessage::NewLink(message))) => Ok(Some(request::read_link(&message))),
        Ok(_) => Ok(None),
        Err(refusal) if refusal.errno() == Some(Errno::NODEV) => Ok(None),
        Err(refusal) => Err(refused(format!("look for the network device {name}"), refusal)),
    }
}

fn find_bridge(host: &mut Netlink, name: &str) -> Result<u32, NetError> {
    check_name(name)?;
    let name = name.to_owned();
    match find(host, &name)? {
        Some(Link { index, kind: Some(InfoKind::Bridge), .. }) => Ok(index),
        Some(Link { kind, .. }) => {
            let kind = kind.map_or_else(|| "a physical device".into(), |kind| format!("of kind {kind}"));
            Err(NetError::NotABridge { name, kind, existing: bridges(host)? })
        }
        None => Err(NetError::NoBridge { name, existing: bridges(host)? }),
    }
}

/// Names of all bridges, for a message.
fn bridges(host: &mut Netlink) -> Result<Vec<String>, NetError> {
    let all =
        host.dump(request::all_links()).map_err(|refusal| refused("list network devices".into(), refusal))?;
    let bridge = |message| match message {
        RouteNetlinkMessage::NewLink(message) => Some(request::read_link(&message)),
        _ => None,
    };
    let bridges = all.into_iter().filter_map(bridge).filter(|link| link.kind == Some(InfoKind::Bridge));
    let mut names: Vec<String> = bridges.map(|link| link.name).collect();
    names.sort();
    Ok(names)
}

/// Addresses, up, routes: a route needs the network of an address, and a device that is up.
fn configure(link: &LinkPlan, inside: &mut Netlink) -> Result<(), NetError> {
    let name = &link.name;
    let index = find(inside, name)?.map(|found| found.index).ok_or_else(|| NetError::Refused {
        action: format!("find {name} inside the container"),
        source: std::io::Error::from(Errno::NODEV).into(),
    })?;
    for address in &link.addresses {
        let action = || format!("give {name} the address {}/{}", address.address, address.prefix);
        inside
            .change(request::address(index, address), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|refusal| refused(action(), refusal))?;
    }
    if link.up {
        inside
            .change(request::link_up(index), 0)
            .map_err(|refusal| refused(format!("bring up {name}"), refusal))?;
    }
    for route in &link.routes {
        inside
            .change(request::route(index, route, &link.addresses), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|refusal| refused(format!("add {} to {name}", in_words(route)), refusal))?;
    }
    Ok(())
}

fn in_words(route: &Route) -> String {
    let destination = match &route.destination {
        Some(destination) => format!("the route to {}/{}", destination.address, destination.prefix),
        None => "the default route".to_owned(),
    };
    route.gateway.map_or(destination.clone(), |gateway| format!("{destination} via {gateway}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_refuse() {
        for name in ["", ".", "..", "lo", "a/b", "a b", "a:b", "sixteen-letters-"] {
            assert!(matches!(check_name(name), Err(NetError::Name { .. })), "{name}");
        }
        for name in ["eth0", "fifteen-letters", "ä"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_chosen_name_is_a_good_one() {
        for random in [[0; 8], [255; 8], [1, 2, 3, 4, 5, 6, 7, 8]] {
            let name = chosen_name(random);
            assert!(check_name(&name).is_ok() && name.len() == 10, "{name}");
        }
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(parse_mac("10:66:6a:00:00:ff").unwrap(), [0x10, 0x66, 0x6a, 0, 0, 0xff]);
        for text in ["", "10:66:6a:00:00", "10:66:6a:00:00:01:02", "10:66:6a:00:00:100", "x"] {
            assert!(parse_mac(text).is_err(), "{text}");
        }
    }
}
