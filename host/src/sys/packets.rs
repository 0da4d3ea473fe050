//! Messages between processes of ours: JSON, one per packet, with handles attached. A packet has a limit, and is parsed
//! as data.

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recv, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of one packet; the kernel takes about 200 KiB.
const PACKET: usize = 64 << 10;

/// The most handles of one packet.
const HANDLES: usize = 3;

/// Sends one message.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    message: &impl Serialize,
    handles: &[BorrowedFd<'_>],
) -> Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > PACKET {
        return Err(Error::new(ErrorKind::InvalidData, "a message is too long"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDLES))];
    let mut extra = SendAncillaryBuffer::new(&mut space);
    if !handles.is_empty() && !extra.push(SendAncillaryMessage::ScmRights(handles)) {
        return Err(Error::new(ErrorKind::InvalidData, "too many handles for one message"));
    }
    // Without the signal: a side that is gone is an error of this call.
    sendmsg(socket, &[IoSlice::new(&text)], &mut extra, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message and no handles (the kernel closes what would come); `None` at the end.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> Result<Option<T>> {
    let mut buffer = vec![0; PACKET];
    let (n, _) = rustix::io::retry_on_intr(|| recv(socket, &mut *buffer, RecvFlags::empty()))?;
    parse(&buffer[..n])
}

/// Receives one message with its handles.
pub(crate) fn receive_handles<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = vec![0; PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDLES))];
    let mut extra = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut extra, RecvFlags::CMSG_CLOEXEC)?;
    let mut handles = Vec::new();
    for message in extra.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            handles.extend(fds);
        }
    }
    Ok(parse(&buffer[..got.bytes])?.map(|message| (message, handles)))
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<Option<T>> {
    if text.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(text)?)) }
}
