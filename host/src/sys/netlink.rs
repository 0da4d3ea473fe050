#![forbid(unsafe_code)]
//! A blocking socket for the kernel's network configuration (rtnetlink(7)), in this network
//! namespace or in another one.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// The kernel's messages are at most this long (`NLMSG_GOODSIZE` and dumps: 32 kB).
const LONGEST: usize = 1 << 16;

/// A socket that belongs to one network namespace for ever, wherever its thread goes.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// The kernel's answer to a request that it refused.
#[derive(Debug)]
pub struct Refusal {
    pub error: io::Error,
    /// Its own words, where it has some (`NETLINK_EXT_ACK`).
    pub message: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{} ({message})", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { error, message: None }
    }
}

impl Refusal {
    /// The error number, if it is one of the kernel's.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        Errno::from_io_error(&self.error)
    }
}

/// A socket in the namespace of this thread.
///
/// # Errors
/// Those of socket(2) and connect(2).
pub fn socket() -> io::Result<Netlink> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    // From here on nobody but the kernel can send to it.
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    Ok(Netlink { socket, sequence: 0 })
}

/// A socket in the namespace `netns`: this thread goes there, opens it, and comes back.
///
/// Needs `CAP_SYS_ADMIN` here and in the user namespace that owns `netns` (setns(2)), and that no
/// other thread is surprised: network namespaces belong to threads, so none is.
///
/// # Errors
/// Those of setns(2) and of [`socket`].
pub fn socket_in(netns: BorrowedFd<'_>) -> io::Result<Netlink> {
    let own = own_namespace()?;
    move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
    let result = socket();
    if move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)).is_err() {
        // Everything that this thread did from now on would be done to the guest's network, or
        // what it does for the host's would be seen by the guest.
        std::process::abort();
    }
    result
}

/// The network namespace of this thread.
///
/// # Errors
/// When `/proc` is missing.
pub fn own_namespace() -> io::Result<OwnedFd> {
    Ok(open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

impl Netlink {
    /// Ask for a change and wait for the acknowledgement. `flags` as in netlink(7), for example
    /// `NLM_F_CREATE | NLM_F_EXCL`.
    ///
    /// # Errors
    /// What the kernel answered, or that of the socket.
    pub fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.answers(|_unasked| ())
    }

    /// Ask for one object.
    ///
    /// # Errors
    /// As [`Netlink::change`]; `ENODEV` when there is none.
    pub fn get(&mut self, message: RouteNetlinkMessage) -> Result<Option<RouteNetlinkMessage>, Refusal> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK)?;
        let mut found = None;
        self.answers(|answer| found = Some(answer))?;
        Ok(found)
    }

    /// Ask for all objects of a kind.
    ///
    /// # Errors
    /// As [`Netlink::change`].
    pub fn dump(&mut self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        self.send(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut all = Vec::new();
        self.answers(|answer| all.push(answer))?;
        Ok(all)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Receive until the kernel says that this request is done.
    fn answers(&mut self, mut take: impl FnMut(RouteNetlinkMessage)) -> Result<(), Refusal> {
        let mut buffer = Vec::with_capacity(LONGEST);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => drop(result?),
            }
            let mut rest = buffer.as_slice();
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(malformed)?;
                // Messages are aligned to four bytes; the last one may end without padding.
                let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(answer) if answer.code.is_none() => return Ok(()),
                    NetlinkPayload::Error(answer) => return Err(refusal(&answer)),
                    NetlinkPayload::InnerMessage(inner) => take(inner),
                    _ => {}
                }
            }
        }
    }
}

fn malformed(error: netlink_packet_core::DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// `NLMSGERR_ATTR_MSG` of `<linux/netlink.h>`.
const MESSAGE: u16 = 1;
/// What stands before the attributes: the header of the request (`NETLINK_CAP_ACK`).
const REQUEST_HEADER: usize = 16;

fn refusal(answer: &ErrorMessage) -> Refusal {
    let attributes = answer.header.get(REQUEST_HEADER..).unwrap_or_default();
    let message = NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == MESSAGE)
        .map(|attribute| String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned());
    Refusal { error: answer.to_io(), message }
}
