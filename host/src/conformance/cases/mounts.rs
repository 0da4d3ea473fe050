#![forbid(unsafe_code)]
//! Mount plans are lawful: their own volume, as it was asked for, and nothing is done by asking.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Case, Need, Run};
use crate::conformance::lab::{Lab, unchanged};
use crate::conformance::report::{Step, must, same};
use crate::conformance::rules;
use crate::plugin::MountPlan;
use crate::plugin::mounts::{Backing, Layer, VolumeMount, VolumeSource};
use crate::plugin::storage::{Access, Storage as _};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "mounts-own",
        needs: Need::Core,
        claim: "a volume is mounted from its own directory, and what is mounted is there",
        rule: &rules::PLACE,
        run: Run::Once(mounts_own),
    },
    Case {
        name: "mounts-access",
        needs: Need::Core,
        claim: "a writable volume is mounted for writing when that is asked, and for reading otherwise",
        rule: &rules::MOUNTS,
        run: Run::Once(mounts_access),
    },
    Case {
        name: "mounts-pure",
        needs: Need::Core,
        claim: "asking for mounts changes nothing and gives the same answer again",
        rule: &rules::MOUNTS_PURE,
        run: Run::Once(mounts_pure),
    },
    Case {
        name: "mounts-apart",
        needs: Need::Core,
        claim: "what is written into a volume is in it and in no other",
        rule: &rules::MOUNTS,
        run: Run::Once(mounts_apart),
    },
];

/// Every path of a plan, those that are written to first.
fn places(plan: &MountPlan) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut written, mut read) = (Vec::new(), Vec::new());
    let disk = |backing: &Backing| match backing {
        Backing::File(path) => Some(path.clone()),
        Backing::Device { .. } => None,
    };
    for mount in &plan.mounts {
        let own = if mount.read_only { &mut read } else { &mut written };
        match &mount.source {
            VolumeSource::Tree(path) => own.push(path.clone()),
            VolumeSource::Disk(d) => own.extend(disk(&d.backing)),
            VolumeSource::Dataset(_) => {}
            VolumeSource::Overlay { lower, upper } => {
                own.extend(upper.iter().flat_map(|(upper, work)| [upper.clone(), work.clone()]));
                read.extend(lower.iter().filter_map(|layer| match layer {
                    Layer::Tree(path) => Some(path.clone()),
                    Layer::Disk(d) => disk(&d.backing),
                }));
            }
        }
    }
    (written, read)
}

fn mounts_own(lab: &Lab<'_>) -> Step {
    let ids = ["web", "web@before", ".images@0a1b", "db"];
    for id in ids {
        lab.filled(id, id)?;
    }
    for id in ids {
        let home = lab.home_of(id);
        let home = home.strip_prefix(&lab.pool).unwrap_or(&home);
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let (written, read) = places(&lab.storage.mounts(id, access)?);
            for path in written.iter().chain(&read) {
                must(own(home, path), format!("{id} is mounted from elsewhere"), || {
                    path.display().to_string()
                })?;
                must(
                    lab.pool.join(path).exists(),
                    format!("what {id} is mounted from is not there"),
                    || path.display().to_string(),
                )?;
            }
        }
    }
    Ok(())
}

/// Whether a path is an entry of a home, and not of the home of a snapshot below it.
fn own(home: &Path, path: &Path) -> bool {
    path.strip_prefix(home).is_ok_and(|rest| !rest.starts_with("snaps"))
}

fn mounts_access(lab: &Lab<'_>) -> Step {
    lab.filled("web", "kept")?;
    let read = lab.storage.mounts("web", Access::ReadOnly)?;
    must(read.mounts.iter().all(|m| m.read_only), "a mount for reading can be written", || {
        format!("{read:?}")
    })?;
    let upper = |mount: &VolumeMount| matches!(mount.source, VolumeSource::Overlay { upper: Some(_), .. });
    must(!read.mounts.iter().any(upper), "a mount for reading has a writable side", || format!("{read:?}"))?;
    let write = lab.storage.mounts("web", Access::ReadWrite)?;
    let root = write.mounts.first().is_some_and(|mount| !mount.read_only);
    must(root, "a writable volume is mounted read-only although it is to be written", || {
        format!("{write:?}")
    })?;
    lab.root("web", Access::ReadWrite)?.write("words", "changed")?;
    lab.holds("web", "changed", "what was written is not seen by who reads")
}

fn mounts_pure(lab: &Lab<'_>) -> Step {
    lab.filled("web", "kept")?;
    let before = lab.picture(&lab.pool)?;
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let first = lab.storage.mounts("web", access)?;
        same(&lab.storage.mounts("web", access)?, &first, "two calls give different answers")?;
    }
    unchanged(&before, &lab.picture(&lab.pool)?, "asking for mounts changes the pool")
}

fn mounts_apart(lab: &Lab<'_>) -> Step {
    let ids = ["a", "b", "a@s", ".images@0"];
    let mut seen = BTreeSet::new();
    for id in ids {
        lab.filled(id, id)?;
        for path in places(&lab.storage.mounts(id, Access::ReadWrite)?).0 {
            must(!seen.contains(&path), "two volumes are written to the same place", || {
                path.display().to_string()
            })?;
            seen.insert(path);
        }
    }
    for id in ids {
        lab.holds(id, id, "what was written into one volume is in another")?;
    }
    Ok(())
}
