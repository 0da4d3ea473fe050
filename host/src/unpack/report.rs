//! What was done, while it goes on and at the end.

use serde::{Deserialize, Serialize};

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes read of the source: compressed ones of an archive, copied ones of a directory.
    pub read: u64,
    /// All bytes of the source, where that is known before the end.
    pub total: Option<u64>,
    /// Entries made.
    pub entries: u64,
    /// Bytes of file content written.
    pub written: u64,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The last progress.
    pub progress: Progress,
    /// What the tree lacks or has otherwise than its source, one note per reason.
    pub notes: Vec<Note>,
    /// The seal of a section of an export; empty for everything else.
    pub seal: String,
}

/// One thing that was left out or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What.
    pub kind: NoteKind,
    /// How often.
    pub count: u64,
    /// The first entry it happened to, safe to print.
    pub example: String,
}

/// Reasons for a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoteKind {
    /// Device nodes that were not made.
    Device,
    /// Sockets, which cannot be copied.
    Socket,
    /// Attributes that an image may not set: security labels, `trusted.*`, overlay's own, malformed ones.
    Attribute,
    /// Attributes that the target's filesystem does not store.
    Unsupported,
    /// Entries of an access control list that name somebody by name and not by number.
    AclName,
    /// Directories of a copied tree on which something else is mounted, and which are now empty.
    Mount,
    /// Files of users outside the container that belong to root now.
    Owner,
    /// Volume labels and other members that are not files.
    Label,
    /// Bytes after the end of the archive.
    Trailing,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            NoteKind::Device => "device nodes left out: a container gets its devices from the host",
            NoteKind::Socket => "sockets left out",
            NoteKind::Attribute => "extended attributes left out that an image may not set",
            NoteKind::Unsupported => "extended attributes left out that this filesystem does not store",
            NoteKind::AclName => "access control entries left out that name users by name",
            NoteKind::Mount => "mount points copied as empty directories",
            NoteKind::Owner => "entries of users outside the container given to root",
            NoteKind::Label => "labels ignored",
            NoteKind::Trailing => "bytes after the end of the archive ignored",
        };
        write!(f, "{} {what} (first: {})", self.count, self.example)
    }
}

impl Report {
    /// Counts one more of a kind; the first one's entry is kept as the example.
    pub(crate) fn note(&mut self, kind: NoteKind, count: u64, example: &[u8]) {
        if count == 0 {
            return;
        }
        match self.notes.iter_mut().find(|n| n.kind == kind) {
            Some(note) => note.count += count,
            None => self.notes.push(Note { kind, count, example: super::error::printable(example) }),
        }
    }
}
