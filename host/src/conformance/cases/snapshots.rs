#![forbid(unsafe_code)]
//! Snapshots: what a volume was, and how it becomes that again.

use super::removal::gone;
use super::{Case, Need, Run};
use crate::conformance::lab::{Lab, refused};
use crate::conformance::report::{Step, must, same};
use crate::conformance::rules;
use crate::plugin::FailureKind;
use crate::plugin::storage::{Access, Phase, Storage as _};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "snapshot-content",
        needs: Need::Snapshots,
        claim: "a snapshot keeps what its volume was",
        rule: &rules::TAKE,
        run: Run::Once(snapshot_content),
    },
    Case {
        name: "snapshot-sealed",
        needs: Need::Snapshots,
        claim: "a snapshot is a sealed volume that scan lists",
        rule: &rules::SNAPSHOTS,
        run: Run::Once(snapshot_sealed),
    },
    Case {
        name: "snapshot-again",
        needs: Need::Snapshots,
        claim: "take repeated with its operation keeps the first content, and with another one it is already-exists",
        rule: &rules::REPEAT,
        run: Run::Once(snapshot_again),
    },
    Case {
        name: "snapshot-of-nothing",
        needs: Need::Snapshots,
        claim: "there is no snapshot of what is not there",
        rule: &rules::NOT_FOUND,
        run: Run::Once(snapshot_of_nothing),
    },
    Case {
        name: "snapshot-restore",
        needs: Need::Snapshots,
        claim: "restore gives back what was there, takes away what was not, and keeps the snapshot",
        rule: &rules::RESTORE,
        run: Run::Once(snapshot_restore),
    },
    Case {
        name: "snapshot-restore-again",
        needs: Need::Snapshots,
        claim: "restore can be repeated: with its operation it changes nothing more, with another one it restores anew",
        rule: &rules::RESTORE_HALF,
        run: Run::Once(snapshot_restore_again),
    },
    Case {
        name: "snapshot-blockers",
        needs: Need::Snapshots,
        claim: "`restore-blockers` names what is in the way of a restore, and nothing else is",
        rule: &rules::BLOCKERS,
        run: Run::Once(snapshot_blockers),
    },
    Case {
        name: "snapshot-dependents",
        needs: Need::Snapshots,
        claim: "what depends on what is told by scan, and remove refuses to break it",
        rule: &rules::PARENT,
        run: Run::Once(snapshot_dependents),
    },
    Case {
        name: "snapshot-pins",
        needs: Need::Snapshots,
        claim: "a volume goes before its snapshots, unless `pins-volume` says that it cannot",
        rule: &rules::PINS_VOLUME,
        run: Run::Once(snapshot_pins),
    },
    Case {
        name: "snapshot-clone",
        needs: Need::ClonesAndSnapshots,
        claim: "a snapshot can be cloned",
        rule: &rules::SNAPSHOTS,
        run: Run::Once(snapshot_clone),
    },
];

fn snapshot_content(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let wanted = lab.root("web", Access::ReadOnly)?.holdings()?;
    let snapshot = lab.snapshot("web", "s0")?;
    {
        let root = lab.root("web", Access::ReadWrite)?;
        root.write("words", "new")?;
        root.write("later", "later")?;
        root.remove("tool")?;
    }
    lab.holds("web", "new", "a volume does not show what was written after its snapshot")?;
    let seen = lab.root(&snapshot, Access::ReadOnly)?.holdings()?;
    let changed: Vec<_> = wanted.keys().filter(|path| wanted.get(*path) != seen.get(*path)).collect();
    must(changed.is_empty() && wanted.len() == seen.len(), "a snapshot changes with its volume", || {
        format!("changed: {changed:?}; there are {} entries where there were {}", seen.len(), wanted.len())
    })
}

fn snapshot_sealed(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let snapshot = lab.snapshot("web", "s0")?;
    same(&lab.there(&snapshot)?.phase, &Phase::Sealed, "scan does not say that a snapshot is sealed")?;
    same(&lab.there("web")?.phase, &Phase::Writable, "a volume is not writable any more after its snapshot")?;
    let write = lab.storage.mounts(&snapshot, Access::ReadWrite);
    must(write.is_err(), "a snapshot is mounted for writing", || format!("{write:?}"))
        .map_err(|stop| stop.breaking(&rules::READ_WRITE))
}

fn snapshot_again(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    lab.home("web@s0")?;
    let operation = lab.operation();
    lab.storage.snapshot(&operation, "web", "web@s0")?;
    lab.root("web", Access::ReadWrite)?.write("words", "new")?;
    lab.storage.snapshot(&operation, "web", "web@s0")?;
    lab.holds("web@s0", "old", "take that was repeated with its operation took another snapshot")?;
    lab.holds("web", "new", "take that was repeated with its operation changed the volume")?;
    let other = lab.storage.snapshot(&lab.operation(), "web", "web@s0");
    refused(other, FailureKind::AlreadyExists, "a snapshot of a name that is taken")
        .map_err(|stop| stop.breaking(&rules::CREATE_TAKEN))
}

fn snapshot_of_nothing(lab: &Lab<'_>) -> Step {
    lab.home("nobody@s0")?;
    let taken = lab.storage.snapshot(&lab.operation(), "nobody", "nobody@s0");
    refused(taken, FailureKind::NotFound, "a snapshot of what is not there")?;
    lab.create("web")?;
    let restored = lab.storage.restore(&lab.operation(), "web@s0");
    refused(restored, FailureKind::NotFound, "restoring a snapshot that is not there")
}

fn snapshot_restore(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let wanted = lab.root("web", Access::ReadOnly)?.holdings()?;
    let snapshot = lab.snapshot("web", "s0")?;
    {
        let root = lab.root("web", Access::ReadWrite)?;
        root.write("words", "new")?;
        root.write("later", "later")?;
        root.remove("tool")?;
    }
    lab.restore(&snapshot)?;
    let seen = lab.root("web", Access::ReadOnly)?.holdings()?;
    let changed: Vec<_> =
        wanted.keys().chain(seen.keys()).filter(|path| wanted.get(*path) != seen.get(*path)).collect();
    must(changed.is_empty(), "a restored volume is not what it was", || format!("different: {changed:?}"))?;
    same(&lab.there("web")?.phase, &Phase::Writable, "a restored volume is not writable")?;
    lab.root("web", Access::ReadWrite)?.write("words", "newer")?;
    lab.holds(&snapshot, "old", "writing to a restored volume changes the snapshot")
}

fn snapshot_restore_again(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let snapshot = lab.snapshot("web", "s0")?;
    lab.root("web", Access::ReadWrite)?.write("words", "new")?;
    let operation = lab.operation();
    lab.storage.restore(&operation, &snapshot)?;
    lab.storage.restore(&operation, &snapshot)?;
    lab.holds("web", "old", "a restore that was repeated did not end with the restored content")?;
    for round in ["second", "third"] {
        lab.root("web", Access::ReadWrite)?.write("words", round)?;
        lab.restore(&snapshot)?;
        lab.holds("web", "old", "the same snapshot cannot be restored again")?;
    }
    lab.holds(&snapshot, "old", "restoring changes the snapshot")
}

fn snapshot_blockers(lab: &Lab<'_>) -> Step {
    lab.filled("web", "first")?;
    let first = lab.snapshot("web", "s1")?;
    lab.root("web", Access::ReadWrite)?.write("words", "second")?;
    let second = lab.snapshot("web", "s0")?;
    lab.root("web", Access::ReadWrite)?.write("words", "third")?;
    same(
        &lab.storage.restore_blockers(&second)?,
        &Vec::new(),
        "something is in the way of the newest snapshot",
    )?;
    let blockers = lab.storage.restore_blockers(&first)?;
    if blockers.is_empty() {
        lab.restore(&first)?;
        lab.holds("web", "first", "a restored volume is not what it was")?;
        lab.holds(&second, "second", "restoring an older snapshot changes a newer one")?;
        lab.restore(&second)?;
        return lab.holds("web", "second", "a newer snapshot cannot be restored after an older one");
    }
    refused(lab.storage.restore(&lab.operation(), &first), FailureKind::InUse, "a restore with blockers")?;
    lab.holds("web", "third", "a restore that was refused changed the volume")?;
    for blocker in &blockers {
        lab.remove(blocker)?;
    }
    lab.restore(&first)?;
    lab.holds("web", "first", "a restored volume is not what it was")
}

fn snapshot_dependents(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let snapshot = lab.snapshot("web", "s0")?;
    let volumes = lab.scan()?;
    let depended = |id: &str| volumes.iter().any(|volume| volume.parent.as_deref() == Some(id));
    let removed = lab.storage.remove(&lab.operation(), &snapshot);
    if depended(&snapshot) {
        refused(removed, FailureKind::InUse, "removing a snapshot that its volume depends on")?;
        lab.holds(&snapshot, "old", "a removal that was refused changed the snapshot")?;
    } else {
        removed?;
        gone(lab, &snapshot)?;
    }
    lab.holds("web", "old", "removing a snapshot changes its volume")
}

fn snapshot_pins(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let snapshot = lab.snapshot("web", "s0")?;
    let removed = lab.storage.remove(&lab.operation(), "web");
    if lab.storage.snapshot_traits()?.pins_volume {
        refused(removed, FailureKind::InUse, "removing a volume that is pinned by its snapshot")?;
        lab.holds("web", "old", "a removal that was refused changed the volume")?;
    } else {
        removed?;
        lab.holds(&snapshot, "old", "a snapshot went with its volume, which nothing pins")?;
    }
    lab.remove(&snapshot)?;
    lab.remove("web")?;
    gone(lab, "web")?;
    gone(lab, &snapshot)
}

fn snapshot_clone(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let snapshot = lab.snapshot("web", "s0")?;
    lab.root("web", Access::ReadWrite)?.write("words", "new")?;
    lab.clone_volume(&snapshot, "other")?;
    lab.holds("other", "old", "a clone of a snapshot has not its content")?;
    lab.root("other", Access::ReadWrite)?.write("words", "other")?;
    lab.holds(&snapshot, "old", "writing to a clone changes the snapshot it was made of")?;
    lab.holds("web", "new", "writing to a clone of a snapshot changes the volume it was taken of")
}
