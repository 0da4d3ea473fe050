#![forbid(unsafe_code)]
//! Snapshots of what is mounted, while nothing is written to it.

use super::{Case, Need, Run};
use crate::conformance::lab::{Lab, refused, unchanged};
use crate::conformance::report::{Step, must, same};
use crate::conformance::rules;
use crate::plugin::FailureKind;
use crate::plugin::storage::{Access, Phase, Storage as _};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "rest-content",
        needs: Need::SnapshotsAtRest,
        claim: "a snapshot of what is mounted has all that was written, and nothing that is written later",
        rule: &rules::REST_TAKE,
        run: Run::Once(rest_content),
    },
    Case {
        name: "rest-stays",
        needs: Need::SnapshotsAtRest,
        claim: "a volume of which a snapshot is taken while it is mounted stays where and as it is",
        rule: &rules::REST_STAYS,
        run: Run::Once(rest_stays),
    },
    Case {
        name: "rest-again",
        needs: Need::SnapshotsAtRest,
        claim: "take repeated with its operation keeps the first content, and with another one it is already-exists",
        rule: &rules::REPEAT,
        run: Run::Once(rest_again),
    },
    Case {
        name: "rest-of-nothing",
        needs: Need::SnapshotsAtRest,
        claim: "there is no snapshot of what is not there",
        rule: &rules::NOT_FOUND,
        run: Run::Once(rest_of_nothing),
    },
];

fn rest_content(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let root = lab.root("web", Access::ReadWrite)?;
    // In memory alone until somebody sees to it.
    root.write("words", "written")?;
    let wanted = root.holdings()?;
    let snapshot = lab.snapshot_at_rest(&root, "web", "s0")?;
    root.write("words", "new")?;
    root.write("later", "later")?;
    root.remove("tool")?;
    same(&lab.there(&snapshot)?.phase, &Phase::Sealed, "scan does not say that a snapshot is sealed")?;
    let seen = lab.root(&snapshot, Access::ReadOnly)?.holdings()?;
    let changed: Vec<_> =
        wanted.keys().chain(seen.keys()).filter(|path| wanted.get(*path) != seen.get(*path)).collect();
    must(changed.is_empty(), "a snapshot is not what its volume was", || format!("different: {changed:?}"))?;
    drop(root);
    lab.holds("web", "new", "a volume does not show what was written after its snapshot")
}

fn rest_stays(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    let root = lab.root("web", Access::ReadWrite)?;
    let home = lab.home("web")?;
    // The home of the snapshot is below it, and the host's.
    lab.home("web@s0")?;
    let snaps = std::path::Path::new("web/snaps");
    let look = || -> Step<_> {
        let mut picture = lab.picture(&home)?;
        picture.retain(|path, _| !path.starts_with(snaps));
        // A disk is written by its file system, when that freezes and when it thaws.
        picture
            .values_mut()
            .for_each(|text| *text = text.split(" changed ").next().unwrap_or_default().into());
        Ok(picture)
    };
    let before = look()?;
    lab.snapshot_at_rest(&root, "web", "s0")?;
    unchanged(&before, &look()?, "taking a snapshot of what is mounted changes it")?;
    same(&lab.there("web")?.phase, &Phase::Writable, "a volume is not writable any more after its snapshot")?;
    root.write("words", "new")?;
    same(&root.words()?, &"new".to_owned(), "what is mounted cannot be written any more")
}

fn rest_again(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    lab.home("web@s0")?;
    let operation = lab.operation();
    lab.storage.snapshot_at_rest(&operation, "web", "web@s0")?;
    lab.root("web", Access::ReadWrite)?.write("words", "new")?;
    lab.storage.snapshot_at_rest(&operation, "web", "web@s0")?;
    lab.holds("web@s0", "old", "take that was repeated with its operation took another snapshot")?;
    let other = lab.storage.snapshot_at_rest(&lab.operation(), "web", "web@s0");
    refused(other, FailureKind::AlreadyExists, "a snapshot of a name that is taken")
        .map_err(|stop| stop.breaking(&rules::CREATE_TAKEN))
}

fn rest_of_nothing(lab: &Lab<'_>) -> Step {
    lab.home("nobody@s0")?;
    let taken = lab.storage.snapshot_at_rest(&lab.operation(), "nobody", "nobody@s0");
    refused(taken, FailureKind::NotFound, "a snapshot of what is not there")
}
