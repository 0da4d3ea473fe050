#![forbid(unsafe_code)]
//! Sizes: a limit that is told, that holds, and that can be changed without losing anything.

use std::fs::File;
use std::io::Write as _;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::{Case, Need, Run};
use crate::conformance::content::{Root, noise};
use crate::conformance::lab::Lab;
use crate::conformance::report::{Step, Stop, fault, here, must, same};
use crate::conformance::rules;
use crate::plugin::storage::{Access, Storage as _};
use crate::plugin::{FailureKind, PluginError};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "size-told",
        needs: Need::Sizes,
        claim: "the size that a volume was made with is the one it has",
        rule: &rules::SIZE,
        run: Run::Once(size_told),
    },
    Case {
        name: "size-holds",
        needs: Need::Sizes,
        claim: "no more fits into a volume than its size, and others are not limited by it",
        rule: &rules::SIZE,
        run: Run::Once(size_holds),
    },
    Case {
        name: "size-grows",
        needs: Need::Sizes,
        claim: "a larger size makes room",
        rule: &rules::SIZE_SET,
        run: Run::Once(size_grows),
    },
    Case {
        name: "size-shrinks",
        needs: Need::Sizes,
        claim: "a smaller size never loses data",
        rule: &rules::SIZE_SMALLER,
        run: Run::Once(size_shrinks),
    },
    Case {
        name: "size-none",
        needs: Need::Sizes,
        claim: "a volume without a size has none, unless every volume has one",
        rule: &rules::SIZE_ALWAYS,
        run: Run::Once(size_none),
    },
];

/// What fits into every kind of volume that has a file system of its own, and is quickly filled.
const SMALL: u64 = 64 << 20;
/// For file systems that have to be larger (mkfs.xfs(8): 300 MiB).
const LARGER: u64 = 320 << 20;
/// Written at a time.
const PIECE: usize = 4 << 20;

/// A volume with a size, as small as this backend has them; and that size.
fn sized(lab: &Lab<'_>, id: &str) -> Step<u64> {
    lab.home(id)?;
    match lab.storage.create(&lab.operation(), id, Some(SMALL)) {
        Ok(_) => return Ok(SMALL),
        Err(PluginError::Failed { kind: FailureKind::Unsupported, message, .. }) => {
            return Err(Stop::Skip(format!("this pool has no sizes: {message}")));
        }
        Err(PluginError::Failed { kind: FailureKind::Invalid, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    lab.storage.create(&lab.operation(), id, Some(LARGER))?;
    Ok(LARGER)
}

/// Changes a size. What the kernel forbids this process (growing ext4 takes `CAP_SYS_RESOURCE`) is not the backend's fault.
fn set(lab: &Lab<'_>, operation: &str, id: &str, size: u64) -> Step {
    match lab.storage.set_size(operation, id, Some(size)) {
        Err(PluginError::Failed { kind: FailureKind::Denied, message, .. }) => Err(here(message)),
        other => Ok(other?),
    }
}

/// Writes until nothing more fits, at most `most` bytes; how many were written.
fn fill(root: &Root, name: &str, most: u64) -> Step<u64> {
    let _limited = Limited::begin().map_err(here)?;
    let piece = noise(name, PIECE);
    let mut file = File::create(root.at(name)).map_err(here)?;
    let mut written = 0;
    while written < most {
        match file.write_all(&piece) {
            Ok(()) => written += PIECE as u64,
            Err(error) if is_full(&error) => break,
            Err(error) => return Err(here(error)),
        }
    }
    // Where blocks are handed out late, being full is told late, too.
    match file.sync_all() {
        Err(error) if !is_full(&error) => Err(here(error)),
        _ => Ok(written),
    }
}

/// This thread without what puts it above the quotas of some file systems, and lets it have their last blocks: root of a
/// user namespace has it in no file system of the host's (`CAP_SYS_RESOURCE`, capabilities(7)).
struct Limited(CapabilitySets);

impl Limited {
    fn begin() -> std::io::Result<Self> {
        let sets = capabilities(None)?;
        let effective = sets.effective.difference(CapabilitySet::SYS_RESOURCE);
        set_capabilities(None, CapabilitySets { effective, ..sets })?;
        Ok(Self(sets))
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // They are permitted still, so this is not refused.
        let _restored = set_capabilities(None, self.0);
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

/// What a backend may be away from the size it was given: blocks, journals and tables of a file system.
fn about(size: u64) -> std::ops::RangeInclusive<u64> {
    size..=size + size / 8
}

fn size_told(lab: &Lab<'_>) -> Step {
    let size = sized(lab, "web")?;
    let told = lab.storage.size("web")?;
    must(
        told.is_some_and(|told| about(size).contains(&told)),
        "the size is not the one it was made with",
        || format!("{told:?} where {size} was expected"),
    )
}

fn size_holds(lab: &Lab<'_>) -> Step {
    let size = sized(lab, "web")?;
    lab.create("db")?;
    let written = fill(&lab.root("web", Access::ReadWrite)?, "big", size * 2)?;
    must(written <= *about(size).end(), "more fits into a volume than its size", || {
        format!("{written} bytes were written where {size} is the most")
    })?;
    must(written >= size / 2, "far less fits into a volume than its size", || {
        format!("{written} bytes were written where {size} is the most")
    })?;
    if !lab.storage.size_traits()?.always {
        let free = fill(&lab.root("db", Access::ReadWrite)?, "big", size + size / 4)?;
        must(free > size, "the size of one volume limits another one", || {
            format!("{free} bytes were written")
        })?;
    }
    let root = lab.root("web", Access::ReadWrite)?;
    root.remove("big")?;
    root.write("words", "kept")?;
    drop(root);
    lab.holds("web", "kept", "a volume that was full cannot be used any more")
}

fn size_grows(lab: &Lab<'_>) -> Step {
    let size = sized(lab, "web")?;
    lab.root("web", Access::ReadWrite)?.write("words", "kept")?;
    let operation = lab.operation();
    for _ in 0..2 {
        set(lab, &operation, "web", size * 2)?;
    }
    let told = lab.storage.size("web")?;
    must(
        told.is_some_and(|told| about(size * 2).contains(&told)),
        "the size is not the one it was given",
        || format!("{told:?} where {} was expected", size * 2),
    )?;
    let root = lab.root("web", Access::ReadWrite)?;
    let written = fill(&root, "big", size * 4)?;
    must(written > size, "a larger size makes no room", || format!("{written} bytes fit"))?;
    must(written <= *about(size * 2).end(), "more fits into a volume than its size", || {
        format!("{written} bytes fit")
    })
    .map_err(|stop| stop.breaking(&rules::SIZE))?;
    drop(root);
    lab.holds("web", "kept", "growing loses what is in the volume")
}

fn size_shrinks(lab: &Lab<'_>) -> Step {
    let size = sized(lab, "web")?;
    let shrinks = lab.storage.size_traits()?.shrinks;
    set(lab, &lab.operation(), "web", size * 2)?;
    let root = lab.root("web", Access::ReadWrite)?;
    root.write("words", "kept")?;
    fill(&root, "big", size + size / 4)?;
    drop(root);
    let before = lab.root("web", Access::ReadOnly)?.holdings()?;
    match lab.storage.set_size(&lab.operation(), "web", Some(size)) {
        Ok(()) => return fault("a size is set that the content does not fit into", format!("{size} bytes")),
        Err(PluginError::Failed { kind: FailureKind::Invalid, .. }) => {}
        Err(PluginError::Failed { kind: FailureKind::Unsupported, .. }) if !shrinks => {}
        Err(error) => return Err(error.into()),
    }
    same(&lab.root("web", Access::ReadOnly)?.holdings()?, &before, "a size that was refused loses data")?;
    if shrinks {
        lab.root("web", Access::ReadWrite)?.remove("big")?;
        set(lab, &lab.operation(), "web", size)?;
        let told = lab.storage.size("web")?;
        must(
            told.is_some_and(|told| about(size).contains(&told)),
            "the size is not the one it was given",
            || format!("{told:?} where {size} was expected"),
        )?;
    }
    lab.holds("web", "kept", "making a volume smaller loses data")
}

fn size_none(lab: &Lab<'_>) -> Step {
    let size = sized(lab, "web")?;
    let traits = lab.storage.size_traits()?;
    lab.create("db")?;
    let told = lab.storage.size("db")?;
    must(
        told.is_some() == traits.always,
        "`always` and the size of a volume made without one do not agree",
        || format!("always is {}, and the size is {told:?}", traits.always),
    )?;
    if traits.always {
        return Ok(());
    }
    lab.storage.set_size(&lab.operation(), "web", None)?;
    same(&lab.storage.size("web")?, &None, "a limit that was lifted is still told")?;
    let written = fill(&lab.root("web", Access::ReadWrite)?, "big", size + size / 4)?;
    must(written > size, "a limit that was lifted still holds", || format!("{written} bytes fit"))
}
