//! What is remembered of a volume besides its files: whether it is sealed, and who made it so.

use crate::bindings::wxc::host::types::Error;
use crate::bindings::wxc::storage::types::Phase;
use crate::layout;
use crate::volume::Pool;

const SEALED: &str = "sealed";
const WRITABLE: &str = "writable";

/// One line: the phase, and the operation that led to it.
pub struct Note {
    pub phase: Phase,
    pub operation: Option<String>,
}

impl Note {
    pub fn new(phase: Phase, operation: &str) -> Self {
        Self { phase, operation: Some(operation.to_owned()) }
    }

    /// A volume without a note was not made by this plugin: a container of LXC's, writable.
    pub fn load(pool: &impl Pool, id: &str) -> Result<Self, Error> {
        let text = pool.read(&layout::note(id))?.unwrap_or_default();
        let mut words = text.split_whitespace();
        let phase = if words.next() == Some(SEALED) { Phase::Sealed } else { Phase::Writable };
        Ok(Self { phase, operation: words.next().map(str::to_owned) })
    }

    pub fn save(&self, pool: &impl Pool, id: &str) -> Result<(), Error> {
        let phase = if self.phase == Phase::Sealed { SEALED } else { WRITABLE };
        let operation = self.operation.as_deref().unwrap_or_default();
        pool.write(&layout::note(id), &format!("{phase} {operation}\n"))
    }
}
