//! What is remembered of a volume besides its files: one line of words.

use crate::bindings::wxc::host::types::Error;
use crate::bindings::wxc::storage::types::Phase;
use crate::layout;
use crate::pool::Pool;

const SEALED: &str = "sealed";
const WRITABLE: &str = "writable";
/// Stands where there is nothing; neither a volume nor an operation has this name.
const NONE: &str = "-";

/// The phase, the operation that led to it, and what the volume is built on.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub phase: Phase,
    pub operation: Option<String>,
    /// The volume below this one.
    pub parent: Option<String>,
    /// What holds from the moment on at which the layer has been moved away: what a snapshot or a restore is about to
    /// make of the volume.
    pub next: Option<Next>,
}

/// The volume that will be below, and the operation that will have led to it where that is another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    pub parent: String,
    pub operation: Option<String>,
}

impl Note {
    pub fn new(phase: Phase, operation: &str, parent: Option<&str>) -> Self {
        let operation = Some(operation.to_owned());
        Self { phase, operation, parent: parent.map(str::to_owned), next: None }
    }

    /// A volume without a note was not made by wxc: a container of LXC's, writable and built on nothing.
    pub fn load(pool: &impl Pool, id: &str) -> Result<Self, Error> {
        let text = pool.read(&layout::note(id))?.unwrap_or_default();
        let mut words = text.split_whitespace();
        let phase = if words.next() == Some(SEALED) { Phase::Sealed } else { Phase::Writable };
        let mut word = || words.next().filter(|word| *word != NONE).map(str::to_owned);
        let (operation, parent, next, by) = (word(), word(), word(), word());
        Ok(Self { phase, operation, parent, next: next.map(|parent| Next { parent, operation: by }) })
    }

    pub fn save(&self, pool: &impl Pool, id: &str) -> Result<(), Error> {
        let phase = if self.phase == Phase::Sealed { SEALED } else { WRITABLE };
        let next = self.next.as_ref();
        let words = [
            self.operation.as_deref(),
            self.parent.as_deref(),
            next.map(|next| next.parent.as_str()),
            next.and_then(|next| next.operation.as_deref()),
        ];
        let words = words.map(|word| word.unwrap_or(NONE)).join(" ");
        pool.write(&layout::note(id), &format!("{phase} {words}\n"))
    }

    /// The note as it is when the layer has been moved away.
    pub fn after(self) -> Self {
        match self.next {
            Some(Next { parent, operation }) => {
                Self { parent: Some(parent), operation: operation.or(self.operation), next: None, ..self }
            }
            None => self,
        }
    }
}
