//! Messages between the caller and the helper: JSON, one per packet, with handles attached.
//!
//! The caller does not trust what comes back: the helper reads hostile images. A packet has a limit, is
//! parsed as data, and handles are only ever taken in one direction.

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recv, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::coder::Compression;
use super::error::UnpackError;
use super::report::{Progress, Report};
use super::request::Options;

/// Bytes of one packet; the kernel takes about 200 KiB.
const PACKET: usize = 64 << 10;

/// The source and the target, and another tree to compare with.
const HANDLES: usize = 3;

/// What the helper is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// What to do; the source and the target are attached.
    Work {
        /// What the handles are, and what becomes of it.
        task: Task,
        /// The caller's own ids as the helper's namespace shows them.
        own: (u32, u32),
        /// The rest.
        options: Box<Options>,
    },
    /// The id map is written.
    Mapped,
}

/// What the attached source is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// An archive to unpack into the target.
    Archive,
    /// A directory to copy into the target.
    Directory,
    /// A list of [`super::Render`] as JSON, for the target.
    Render,
    /// Nothing: everything in the target is removed.
    Empty,
    /// A stream with one section of an export, to unpack into the target.
    Section,
    /// Where the target is written to as one section of an export: as what changed since the third handle's tree, if
    /// there is one.
    Pack,
    /// An archive whose plain content is written to the target, which is no directory.
    Decode,
    /// Plain content that is written compressed to the target.
    Encode(Compression),
}

impl Task {
    /// Whether the target becomes a new tree.
    pub(crate) fn makes_tree(self) -> bool {
        matches!(self, Self::Archive | Self::Directory | Self::Section)
    }

    /// Whether its handles are streams and nothing else.
    pub(crate) fn is_coding(self) -> bool {
        matches!(self, Self::Decode | Self::Encode(_))
    }
}

/// What the helper answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is in a user namespace of its own and waits for [`Order::Mapped`].
    NeedMap,
    /// How far it is.
    Progress(Progress),
    /// The end, with what was done.
    Done(Report),
    /// The end, with why.
    Failed(UnpackError),
}

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
