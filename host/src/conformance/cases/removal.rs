#![forbid(unsafe_code)]
//! Removing: in any phase, as often as one likes, and until nothing is left.

use super::{Case, Need, Run};
use crate::conformance::lab::Lab;
use crate::conformance::report::{Step, same};
use crate::conformance::rules;
use crate::plugin::storage::{Access, Storage as _};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "remove-writable",
        needs: Need::Core,
        claim: "a writable volume can be removed, and nothing is left of it",
        rule: &rules::REMOVE,
        run: Run::Once(remove_writable),
    },
    Case {
        name: "remove-sealed",
        needs: Need::Core,
        claim: "a sealed volume can be removed, and nothing is left of it",
        rule: &rules::REMOVE,
        run: Run::Once(remove_sealed),
    },
    Case {
        name: "remove-twice",
        needs: Need::Core,
        claim: "removing what is not there succeeds",
        rule: &rules::REMOVE_NONE,
        run: Run::Once(remove_twice),
    },
    Case {
        name: "remove-alone",
        needs: Need::Core,
        claim: "removing a volume leaves the others as they are",
        rule: &rules::REMOVE,
        run: Run::Once(remove_alone),
    },
    Case {
        name: "remove-and-create",
        needs: Need::Core,
        claim: "a name is free again after remove, and what was there does not come back",
        rule: &rules::CREATE,
        run: Run::Once(remove_and_create),
    },
];

/// That nothing of a volume is left, in `scan` or in its directory.
pub(in crate::conformance) fn gone(lab: &Lab<'_>, id: &str) -> Step {
    same(&lab.listed(id)?, &None, format!("{id} is still listed after its removal"))?;
    same(&lab.left_at(id)?, &Vec::new(), format!("the removal of {id} leaves files"))
}

fn remove_writable(lab: &Lab<'_>) -> Step {
    for id in ["web", "web@before", ".images@0a1b"] {
        lab.filled(id, "gone")?;
        lab.remove(id)?;
        gone(lab, id)?;
    }
    Ok(())
}

fn remove_sealed(lab: &Lab<'_>) -> Step {
    for id in ["web", "web@before", ".images@0a1b"] {
        lab.sealed(id, "gone")?;
        lab.remove(id)?;
        gone(lab, id)?;
    }
    Ok(())
}

fn remove_twice(lab: &Lab<'_>) -> Step {
    // Where not even a home is.
    lab.remove("nobody")?;
    lab.remove("nobody@before")?;
    lab.home("web")?;
    lab.remove("web")?;
    lab.filled("web", "gone")?;
    let operation = lab.operation();
    for operation in [operation.clone(), operation, lab.operation()] {
        lab.storage.remove(&operation, "web")?;
    }
    gone(lab, "web")
}

fn remove_alone(lab: &Lab<'_>) -> Step {
    for id in ["we", "web", "web2", "web@before", "db"] {
        lab.filled(id, id)?;
    }
    lab.remove("web")?;
    for id in ["we", "web2", "web@before", "db"] {
        lab.holds(id, id, "removing a volume takes another one along")?;
    }
    Ok(())
}

fn remove_and_create(lab: &Lab<'_>) -> Step {
    lab.sealed("web", "old")?;
    lab.remove("web")?;
    lab.create("web")?;
    let root = lab.root("web", Access::ReadWrite)?;
    same(&root.names()?, &Vec::new(), "a new volume has the files of the one that was removed")
}
