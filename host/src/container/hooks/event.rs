#![forbid(unsafe_code)]
//! The words of events, as the contract and plans have them.

use crate::plugin::hook::types::Event;

/// In the order in which they happen to a container: [`place`] goes by it.
const WORDS: &[(Event, &str)] = &[
    (Event::Create, "create"),
    (Event::PreStart, "pre-start"),
    (Event::NetworkUp, "network-up"),
    (Event::PreMount, "pre-mount"),
    (Event::Mount, "mount"),
    (Event::Autodev, "autodev"),
    (Event::Start, "start"),
    (Event::StartHost, "start-host"),
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
pub(super) fn word(event: Event) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == event).map_or("", |(_, word)| word)
}

/// The event of a word.
pub(super) fn of(word: &str) -> Option<Event> {
    WORDS.iter().find(|(_, known)| *known == word).map(|(event, _)| *event)
}

/// Where a word stands in the course of a container's life; what is none comes last.
pub(super) fn place(word: &str) -> usize {
    WORDS.iter().position(|(_, known)| *known == word).unwrap_or(WORDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_word_of_its_own() {
        for (event, word_of_it) in WORDS {
            assert_eq!(word(*event), *word_of_it);
            assert_eq!(of(word_of_it), Some(*event));
        }
        assert_eq!(WORDS.len(), 23);
        assert!(place("pre-start") < place("start-host") && place("start-host") < place("post-stop"));
    }
}
