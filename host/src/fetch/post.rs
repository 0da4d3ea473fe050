//! A message to a server, of whose answer the status alone counts: the caller's side.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use rustix::fs::{MemfdFlags, memfd_create};

use super::error::FetchError;
use super::order::{Order, Patience};
use super::reach::Reach;
use super::run::{Session, Watch};

/// The most bytes of one message.
pub const LONGEST_MESSAGE: usize = 256 << 10;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message {
    pub url: String,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How often at most, while nobody answers.
    pub attempts: u32,
}

/// Sends a message and returns the status of the answer. Mirrors are not asked: they have what a server has, and do not hear
/// what it is told.
///
/// # Errors
/// There is no answer.
pub fn post(message: &Message, reach: &Reach, watch: &mut dyn Watch) -> Result<u16, FetchError> {
    let failed = |error: std::io::Error| FetchError::File {
        doing: "hand over a message".into(),
        why: error.to_string(),
    };
    let content = memfd_create("wxc-message", MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let mut content = File::from(content);
    content.write_all(&message.body).map_err(failed)?;
    let order = Order {
        urls: vec![message.url.clone()],
        headers: message.headers.clone(),
        post: true,
        limit: LONGEST_MESSAGE as u64,
        patience: Patience { attempts: message.attempts.max(1), ..reach.patience },
        ..reach.order(std::slice::from_ref(&message.url))
    };
    Session::default().get(&order, content.as_fd(), watch).map(|answer| answer.status)
}
