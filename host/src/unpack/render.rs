//! Files that a template puts into a fresh tree, written where the tree's owner may write.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::error::UnpackError;
use super::request::IdMapMode;
use crate::sys::rootfs::{Owner, Rootfs};

/// Bytes of a file in which words are replaced.
const SUBSTITUTE_MAX: u64 = 1 << 20;
/// Mode of directories that nobody asked for by name.
const IMPLIED: u32 = 0o755;

/// What shall be at a path of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Render {
    /// Where, as inside; directories above are made as needed.
    pub path: PathBuf,
    /// What.
    pub node: Node,
    /// Permission bits; not for links and substitutions.
    pub mode: u32,
    /// Owner inside.
    pub uid: u32,
    /// Group inside.
    pub gid: u32,
    /// Whether what is there already stays.
    pub keep_existing: bool,
}

/// Kinds of entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// A directory.
    Directory,
    /// A file with this content.
    File(Vec<u8>),
    /// A symbolic link with this text.
    Symlink(PathBuf),
    /// The regular file that is there, with words replaced at every place, in order; nothing without one.
    Substitute(Vec<(String, String)>),
    /// Nothing.
    Absent,
}

/// Renders everything in order, within this process.
pub(crate) fn apply(root: Rootfs<'_>, ids: &IdMapMode, files: &[Render]) -> Result<(), UnpackError> {
    files.iter().try_for_each(|file| one(root, ids, file))
}

fn one(root: Rootfs<'_>, ids: &IdMapMode, file: &Render) -> Result<(), UnpackError> {
    let path = file.path.as_path();
    let name = path.as_os_str().as_encoded_bytes();
    let (uid, gid) =
        ids.owner(file.uid.into(), file.gid.into()).map_err(|why| UnpackError::refused(name, why))?;
    let owner = Owner { uid, gid };
    if file.keep_existing && root.kind(path, false)?.is_some() {
        return Ok(());
    }
    if !matches!(file.node, Node::Absent | Node::Substitute(_)) {
        let parent = path.parent().unwrap_or(Path::new(""));
        root.mkdir(parent, IMPLIED, Owner { uid: 0, gid: 0 })?;
    }
    match &file.node {
        Node::Directory => root.mkdir(path, file.mode, owner)?,
        Node::File(content) => root.write(path, content, file.mode, owner)?,
        Node::Symlink(target) => root.symlink(path, target, owner)?,
        Node::Absent => drop(root.unlink(path)?),
        Node::Substitute(words) => substitute(root, path, words)?,
    }
    Ok(())
}

fn substitute(root: Rootfs<'_>, path: &Path, words: &[(String, String)]) -> Result<(), UnpackError> {
    if root.kind(path, true)? != Some(FileType::RegularFile) {
        return Ok(());
    }
    let (old, mode, owner) = root.read_with_owner(path, SUBSTITUTE_MAX)?;
    // A file that is no text has no words.
    let Ok(mut text) = String::from_utf8(old) else { return Ok(()) };
    for (from, to) in words.iter().filter(|(from, _)| !from.is_empty()) {
        text = text.replace(from, to);
    }
    Ok(root.write(path, text.as_bytes(), mode, owner)?)
}
