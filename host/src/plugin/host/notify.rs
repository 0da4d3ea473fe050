#![forbid(unsafe_code)]
//! `wxc:host/notify`: messages to declared servers.
//!
//! As for [`super::fetch`], where one may go is decided by what whoever made the call allowed, and it is sent by a
//! process that holds nothing but the message and a network.

use wasmtime::component::Resource;

use super::State;
use super::failure::failure;
use super::fetch::Watching;
use super::log::printable;
use crate::fetch;
use crate::plugin::bindings::host::wxc::host::notify::{Host, HostMessage};
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};

/// Headers that a guest may set: none that names another server, or speaks for a proxy.
const ALLOWED: [&str; 3] = ["authorization", "idempotency-key", "x-hub-signature-256"];
const OURS: &str = "x-wxc-";
/// Longest value of one, and most of them.
const HEADER: usize = 8192;
const HEADERS: usize = 16;
const MOST_ATTEMPTS: u32 = 10;

/// A message being prepared.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Message {
    message: fetch::Message,
    /// What was wrong with it; told by `send`.
    problem: Option<Error>,
}

impl Message {
    fn new(url: String, content_type: String, body: Vec<u8>) -> Self {
        let length = body.len();
        let message = fetch::Message { url, headers: Vec::new(), body, attempts: 1 };
        let mut new = Self { message, problem: None };
        if content_type.is_empty() {
            new.refuse(ErrorKind::Invalid, "a message says what it is: its content type is empty".into());
        } else {
            new.header("content-type".into(), content_type);
        }
        if length > fetch::LONGEST_MESSAGE {
            let most = fetch::LONGEST_MESSAGE;
            new.refuse(ErrorKind::Invalid, format!("a message of {length} bytes is longer than {most}"));
        }
        new
    }

    fn refuse(&mut self, kind: ErrorKind, why: String) {
        self.problem.get_or_insert_with(|| failure(kind, why));
    }

    /// Adds a header, whose name is in lower case.
    fn header(&mut self, name: String, value: String) {
        let headers = &mut self.message.headers;
        // Names are tokens, and values what can be seen (RFC 9110, 5.5 and 5.6.2).
        let token = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let fits = value.len() <= HEADER && value.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !token || !fits || headers.len() >= HEADERS {
            let why = format!("the header {:?} cannot be sent", printable(&name));
            return self.refuse(ErrorKind::Invalid, why);
        }
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value));
    }
}

impl Host for State {}

impl HostMessage for State {
    fn new(
        &mut self,
        url: String,
        content_type: String,
        body: Vec<u8>,
    ) -> wasmtime::Result<Resource<Message>> {
        let called = self.called("notify.message", &(&url, &content_type, &body))?;
        self.answer_new(called, |state| {
            state.table.push(Message::new(url, content_type, body)).map_err(|_| state.handles_used_up())
        })
    }

    fn set_header(&mut self, this: Resource<Message>, name: String, value: String) -> wasmtime::Result<()> {
        let called = self.called("notify.message.set-header", &(this.rep(), &name, &value))?;
        self.answer(called, |state| {
            let message = state.message(&this)?;
            let name = name.to_ascii_lowercase();
            if ALLOWED.contains(&name.as_str()) || name.starts_with(OURS) {
                message.header(name, value);
            } else {
                let why = format!("the header {:?} is not a plugin's to set", printable(&name));
                message.refuse(ErrorKind::Denied, why);
            }
            Ok(())
        })
    }

    fn set_attempts(&mut self, this: Resource<Message>, count: u32) -> wasmtime::Result<()> {
        let called = self.called("notify.message.set-attempts", &(this.rep(), count))?;
        self.answer(called, |state| {
            state.message(&this)?.message.attempts = count.clamp(1, MOST_ATTEMPTS);
            Ok(())
        })
    }

    fn send(&mut self, this: Resource<Message>) -> wasmtime::Result<Result<u16, Error>> {
        let called = self.called("notify.message.send", &(this.rep(),))?;
        self.answer(called, |state| {
            let message = state.message(&this)?;
            if let Some(problem) = message.problem.clone() {
                return Ok(Err(problem));
            }
            let message = message.message.clone();
            Ok(state.post(&message))
        })
    }

    fn drop(&mut self, this: Resource<Message>) -> wasmtime::Result<()> {
        self.dropped("notify.message.drop", this)
    }
}

impl State {
    fn message(&mut self, handle: &Resource<Message>) -> wasmtime::Result<&mut Message> {
        Ok(self.table.get_mut(handle)?)
    }

    fn post(&self, message: &fetch::Message) -> Result<u16, Error> {
        let Some(reach) = self.scope.courier.clone() else {
            return Err(failure(ErrorKind::Denied, "this call may send no messages"));
        };
        if let Err(why) = reach.check(&message.url) {
            let url = printable(&message.url);
            return Err(failure(ErrorKind::Denied, format!("nothing is sent to {url}: {why}")));
        }
        tracing::debug!(plugin = %self.plugin, url = message.url, "sending a message");
        let mut watch = Watching::new(self)?;
        fetch::post(message, &reach, &mut watch).map_err(|error| watch.told(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(content_type: &str, length: usize, header: (&str, &str)) -> Option<ErrorKind> {
        let mut message = Message::new("https://a.example".into(), content_type.into(), vec![0; length]);
        message.header(header.0.into(), header.1.into());
        message.problem.map(|problem| problem.kind)
    }

    #[test]
    fn what_cannot_be_sent_is_told() {
        let json = "application/json";
        assert_eq!(problem(json, 256 << 10, ("x-wxc-event", "stop")), None);
        assert_eq!(problem(json, (256 << 10) + 1, ("x-wxc-event", "stop")), Some(ErrorKind::Invalid));
        assert_eq!(problem("", 0, ("x-wxc-event", "stop")), Some(ErrorKind::Invalid));
        assert_eq!(problem(json, 0, ("x-wxc-a b", "stop")), Some(ErrorKind::Invalid));
        assert_eq!(problem(json, 0, ("x-wxc-event", "a\r\nhost: b")), Some(ErrorKind::Invalid));
    }
}
