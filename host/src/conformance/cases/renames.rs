#![forbid(unsafe_code)]
//! Renames: the host renames the directory, a backend what it keeps elsewhere.

use std::fs;

use super::{Case, Need, Run};
use crate::conformance::lab::Lab;
use crate::conformance::report::{Step, here, same};
use crate::conformance::rules;
use crate::plugin::storage::{Access, Phase, Storage as _};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "rename",
        needs: Need::Core,
        claim: "a volume whose directory was renamed is there under its new name",
        rule: &rules::RENAME_NONE,
        run: Run::Once(rename),
    },
    Case {
        name: "rename-snapshots",
        needs: Need::Snapshots,
        claim: "the snapshots of a renamed volume go with it",
        rule: &rules::RENAME,
        run: Run::Once(rename_snapshots),
    },
    Case {
        name: "rename-parent",
        needs: Need::Clones,
        claim: "the clones of a renamed volume find it under its new name",
        rule: &rules::RENAME,
        run: Run::Once(rename_parent),
    },
];

/// As `wxc copy -R` does: first the directory, then the backend, twice as after a crash.
fn renamed(lab: &Lab<'_>, id: &str, new: &str) -> Step {
    fs::rename(lab.home_of(id), lab.home_of(new)).map_err(here)?;
    let operation = lab.operation();
    lab.storage.rename(&operation, id, new)?;
    lab.storage.rename(&operation, id, new)?;
    Ok(())
}

fn rename(lab: &Lab<'_>) -> Step {
    lab.filled("web", "kept")?;
    lab.sealed("base", "sealed")?;
    lab.create("other")?;
    renamed(lab, "web", "shop")?;
    renamed(lab, "base", "ground")?;
    let wanted = ["ground", "other", "shop"].map(str::to_owned).to_vec();
    same(&lab.ids()?, &wanted, "scan does not list the volume under its new name alone")?;
    lab.holds("shop", "kept", "a renamed volume lost its content")?;
    lab.root("shop", Access::ReadWrite)?.write("words", "changed")?;
    lab.holds("shop", "changed", "a renamed volume cannot be written")?;
    same(&lab.there("ground")?.phase, &Phase::Sealed, "a sealed volume is not sealed after a rename")?;
    lab.create("web")?;
    lab.holds("shop", "changed", "the old name still leads to the renamed volume")
}

fn rename_snapshots(lab: &Lab<'_>) -> Step {
    lab.filled("web", "old")?;
    lab.snapshot("web", "s0")?;
    lab.root("web", Access::ReadWrite)?.write("words", "new")?;
    renamed(lab, "web", "shop")?;
    same(
        &lab.ids()?,
        &vec!["shop".to_owned(), "shop@s0".to_owned()],
        "a snapshot did not go with its volume",
    )?;
    lab.holds("shop", "new", "a renamed volume lost its content")?;
    lab.holds("shop@s0", "old", "the snapshot of a renamed volume lost its content")?;
    lab.restore("shop@s0")?;
    lab.holds("shop", "old", "a renamed volume cannot be restored")
}

fn rename_parent(lab: &Lab<'_>) -> Step {
    lab.sealed("base", "shared")?;
    lab.clone_volume("base", "web")?;
    let depends = lab.there("web")?.parent.is_some();
    renamed(lab, "base", "ground")?;
    lab.holds("web", "shared", "a clone lost its content when its parent was renamed")?;
    let wanted = depends.then(|| "ground".to_owned());
    same(&lab.there("web")?.parent, &wanted, "a clone does not know its parent's new name")?;
    lab.remove("web")?;
    lab.remove("ground")
}
