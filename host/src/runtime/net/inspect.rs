#![forbid(unsafe_code)]
//! The devices of a container's network with their addresses and counters, as `info` shows them.

use std::{collections::BTreeMap, os::fd::BorrowedFd};

use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkMessage, Stats64},
};
use serde::Serialize;

use crate::{plan::Address, sys::netlink::Netlink};

use super::{
    NetError,
    apply::{refused, socket_in},
    request,
};

/// One device inside. Names come from the guest: whoever prints them must escape them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    pub mac: Option<String>,
    pub mtu: u32,
    /// Switched on (`IFF_UP`).
    pub up: bool,
    /// And with a link (`IFF_LOWER_UP`).
    pub carrier: bool,
    pub loopback: bool,
    pub addresses: Vec<Address>,
    /// Bytes and packets since the device was made, as the container counts them.
    pub received: Traffic,
    pub sent: Traffic,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub bytes: u64,
    pub packets: u64,
}

/// What is in the network namespace `netns`, by index.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel refuses.
pub fn inspect(netns: BorrowedFd<'_>) -> Result<Vec<Interface>, NetError> {
    let mut socket = socket_in(netns)?;
    let mut interfaces = BTreeMap::new();
    for message in dump(&mut socket, request::all_links(), "network devices")? {
        if let RouteNetlinkMessage::NewLink(message) = message {
            interfaces.insert(message.header.index, read_interface(&message));
        }
    }
    for message in dump(&mut socket, request::all_addresses(), "addresses")? {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(interface) = interfaces.get_mut(&message.header.index)
        {
            interface.addresses.extend(read_address(&message));
        }
    }
    Ok(interfaces.into_values().collect())
}

fn dump(
    socket: &mut Netlink,
    request: RouteNetlinkMessage,
    what: &str,
) -> Result<Vec<RouteNetlinkMessage>, NetError> {
    socket.dump(request).map_err(|refusal| refused(format!("list {what} of the container"), refusal))
}

fn read_interface(message: &LinkMessage) -> Interface {
    let flags = message.header.flags;
    let mut interface = Interface {
        name: request::read_link(message).name,
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        ..Interface::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(mac) => interface.mac = Some(in_hex(mac)),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Stats64(stats) => count(&mut interface, stats),
            _ => {}
        }
    }
    interface
}

fn count(interface: &mut Interface, stats: &Stats64) {
    interface.received = Traffic { bytes: stats.rx_bytes, packets: stats.rx_packets };
    interface.sent = Traffic { bytes: stats.tx_bytes, packets: stats.tx_packets };
}

fn in_hex(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// `Local` is the device's own address; on a point-to-point link `Address` is the other end's.
/// IPv6 has only the latter.
fn read_address(message: &AddressMessage) -> Option<Address> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    });
    address.map(|address| Address { address, prefix: message.header.prefix_len })
}
