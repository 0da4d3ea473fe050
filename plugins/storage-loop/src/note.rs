//! What is remembered of a volume besides its disk: whether it is sealed, who made it so, and what is in it.

use crate::bindings::wxc::host::types::Error;
use crate::bindings::wxc::storage::types::Phase;
use crate::filesystem::Filesystem;
use crate::layout;
use crate::volume::Pool;

const SEALED: &str = "sealed";
const WRITABLE: &str = "writable";

/// One line: the phase, the file system, and the operation that led to the phase.
pub struct Note {
    pub phase: Phase,
    /// None for a disk that this plugin did not make.
    pub filesystem: Option<Filesystem>,
    pub operation: Option<String>,
}

impl Note {
    /// A volume without a note was made by LXC, and is writable.
    pub fn load(pool: &impl Pool, id: &str) -> Result<Self, Error> {
        let text = pool.read(&layout::note(id))?.unwrap_or_default();
        let mut words = text.split_whitespace();
        let phase = if words.next() == Some(SEALED) { Phase::Sealed } else { Phase::Writable };
        let filesystem = words.next().map(Filesystem::named).transpose()?;
        Ok(Self { phase, filesystem, operation: words.next().map(str::to_owned) })
    }

    pub fn save(
        pool: &impl Pool,
        id: &str,
        phase: Phase,
        inside: Filesystem,
        operation: &str,
    ) -> Result<(), Error> {
        let phase = if phase == Phase::Sealed { SEALED } else { WRITABLE };
        pool.write(&layout::note(id), &format!("{phase} {} {operation}\n", inside.name()))
    }
}
