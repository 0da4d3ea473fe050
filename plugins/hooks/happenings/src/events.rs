//! The words of events, as the contract has them.

use crate::contract::wxc::hook::types::Event;
use crate::contract::wxc::host::types::{Error, ErrorKind};

const EVENTS: [(Event, &str); 23] = [
    (Event::Create, "create"),
    (Event::PreStart, "pre-start"),
    (Event::PreMount, "pre-mount"),
    (Event::Mount, "mount"),
    (Event::Autodev, "autodev"),
    (Event::NetworkUp, "network-up"),
    (Event::StartHost, "start-host"),
    (Event::Start, "start"),
    (Event::Started, "started"),
    (Event::Ready, "ready"),
    (Event::Stopping, "stopping"),
    (Event::Stop, "stop"),
    (Event::NetworkDown, "network-down"),
    (Event::PostStop, "post-stop"),
    (Event::Failed, "failed"),
    (Event::Freeze, "freeze"),
    (Event::Thaw, "thaw"),
    (Event::Snapshot, "snapshot"),
    (Event::Restore, "restore"),
    (Event::Clone, "clone"),
    (Event::Rename, "rename"),
    (Event::Configure, "configure"),
    (Event::Destroy, "destroy"),
];

/// The word of an event.
pub fn word(event: Event) -> &'static str {
    EVENTS.iter().find(|(known, _)| *known == event).map_or("", |(_, word)| word)
}

/// The events that a setting names, with blanks between.
///
/// # Errors
/// There is no such event.
pub fn chosen(words: &str) -> Result<Vec<Event>, Error> {
    words.split_whitespace().map(event).collect()
}

fn event(word: &str) -> Result<Event, Error> {
    let found = EVENTS.iter().find(|(_, known)| *known == word);
    found.map(|(event, _)| *event).ok_or_else(|| {
        let known: Vec<&str> = EVENTS.iter().map(|(_, word)| *word).collect();
        let message = format!("there is no event {word:?}; there are {}", known.join(" "));
        Error { kind: ErrorKind::Invalid, message }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_chosen_by_their_words() {
        assert_eq!(chosen(" stop  pre-start").unwrap(), [Event::Stop, Event::PreStart]);
        assert!(chosen("").unwrap().is_empty());
        assert!(chosen("stop halt").unwrap_err().message.contains("no event \"halt\""));
        assert!(EVENTS.iter().all(|(event, text)| word(*event) == *text));
    }
}
