//! What is remembered of a volume beside it.
//!
//! Not the read-only flag of the subvolume: root of a running container can set it on its own root.

use crate::bindings::wxc::host::types::Error;
use crate::bindings::wxc::storage::types::Phase;
use crate::layout;
use crate::pool::Pool;

const SEALED: &str = "sealed";
const WRITABLE: &str = "writable";

/// One line: the phase, the operation that led to it, and after a restore the UUID of what took the root's place.
pub struct Note {
    pub phase: Phase,
    pub operation: Option<String>,
    pub restored: Option<String>,
}

impl Note {
    pub fn new(phase: Phase, operation: &str) -> Self {
        Self { phase, operation: Some(operation.to_owned()), restored: None }
    }

    /// A subvolume without a note was not made by this plugin: a container of LXC's, writable.
    pub fn load(pool: &impl Pool, id: &str) -> Result<Self, Error> {
        let text = pool.read(&layout::note(id))?.unwrap_or_default();
        let mut words = text.split_whitespace().map(str::to_owned);
        let phase = if words.next().as_deref() == Some(SEALED) { Phase::Sealed } else { Phase::Writable };
        Ok(Self { phase, operation: words.next(), restored: words.next() })
    }

    pub fn save(&self, pool: &impl Pool, id: &str) -> Result<(), Error> {
        let phase = if self.phase == Phase::Sealed { SEALED } else { WRITABLE };
        let words = [Some(phase), self.operation.as_deref(), self.restored.as_deref()];
        let text = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
        pool.write(&layout::note(id), &format!("{text}\n"))
    }
}
