#![forbid(unsafe_code)]
//! The network part of a plan: pairs of virtual devices with one end in the container's network
//! namespace, its addresses and routes; and what is seen inside it.
//!
//! A pair is made with its far end already in the container, under its final name: nothing is
//! moved or renamed, and no name of the container is ever taken on the host. What is configured
//! inside goes through a socket that belongs to the container's namespace, so nothing runs there.

/// Make the devices, configure them, undo it.
mod apply;
/// What `info` shows.
mod inspect;
/// Messages of rtnetlink(7).
mod request;

use std::net::IpAddr;

pub use apply::{HostLink, apply, loopback_up, remove};
pub use inspect::{Interface, inspect};

use crate::sys::netlink::Refusal;

/// What can go wrong with the network of a container.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error("cannot open a socket for network configuration{}: {source}", place(*.inside))]
    Socket { inside: bool, source: std::io::Error },
    #[error("there is no bridge named {name}")]
    NoBridge { name: String, existing: Vec<String> },
    #[error("{name} is not a bridge but {kind}")]
    NotABridge { name: String, kind: String, existing: Vec<String> },
    #[error("\"{name}\" cannot be the name of a network device: {why}")]
    Name { name: String, why: &'static str },
    #[error("\"{0}\" is not a hardware address such as 10:66:6a:00:00:01")]
    Mac(String),
    #[error("the host already has a network device named {name}")]
    Taken { name: String },
    #[error("{name}: a route needs the device to be up, and it is configured to stay down")]
    RouteOfDownLink { name: String },
    #[error("{name}: the gateway {gateway} is of another address family than {destination}")]
    Family { name: String, gateway: IpAddr, destination: IpAddr },
    #[error("cannot {action}: {source}")]
    Refused { action: String, source: Refusal },
}

fn place(inside: bool) -> &'static str {
    if inside { " inside the container" } else { "" }
}

impl NetError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoBridge { name, existing } | Self::NotABridge { name, existing, .. } => {
                Some(match &existing[..] {
                    [] => format!(
                        "this host has no bridge; `ip link add {name} type bridge` makes one, or leave the network \
                         empty"
                    ),
                    some => format!("bridges of this host: {}", some.join(", ")),
                })
            }
            Self::Taken { .. } => Some("leave host-name away and one that is free is chosen".into()),
            Self::Refused { source, .. } => match source.errno()? {
                rustix::io::Errno::OPNOTSUPP => {
                    Some("this kernel lacks the driver: CONFIG_VETH, or `modprobe veth` on the host".into())
                }
                rustix::io::Errno::PERM => Some("this needs CAP_NET_ADMIN on the host".into()),
                rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ACCESS => {
                    Some("the address family may be disabled: see net.ipv6.conf.all.disable_ipv6".into())
                }
                _ => None,
            },
            _ => None,
        }
    }
}
