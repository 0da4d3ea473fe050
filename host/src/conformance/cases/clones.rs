#![forbid(unsafe_code)]
//! Clones: the same content, from then on on their own.

use super::removal::gone;
use super::{Case, Need, Run};
use crate::conformance::lab::{Lab, refused};
use crate::conformance::report::{Step, must, same};
use crate::conformance::rules;
use crate::plugin::FailureKind;
use crate::plugin::storage::{Access, Phase, Storage as _};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "clone-content",
        needs: Need::Clones,
        claim: "a clone is writable and has everything its parent has: owners, permissions, links, times",
        rule: &rules::CLONE,
        run: Run::Once(clone_content),
    },
    Case {
        name: "clone-independent",
        needs: Need::Clones,
        claim: "writing to a clone changes neither its parent nor its siblings",
        rule: &rules::SEALED,
        run: Run::Once(clone_independent),
    },
    Case {
        name: "clone-of-clone",
        needs: Need::Clones,
        claim: "a clone can be sealed and cloned again",
        rule: &rules::CLONE,
        run: Run::Once(clone_of_clone),
    },
    Case {
        name: "clone-of-writable",
        needs: Need::Clones,
        claim: "only a sealed volume is cloned",
        rule: &rules::CLONE,
        run: Run::Once(clone_of_writable),
    },
    Case {
        name: "clone-of-nothing",
        needs: Need::Clones,
        claim: "what is not there is not cloned",
        rule: &rules::NOT_FOUND,
        run: Run::Once(clone_of_nothing),
    },
    Case {
        name: "clone-again",
        needs: Need::Clones,
        claim: "clone repeated with its operation ends with the same volume, and with another one it is already-exists",
        rule: &rules::REPEAT,
        run: Run::Once(clone_again),
    },
    Case {
        name: "clone-parent",
        needs: Need::Clones,
        claim: "a parent that is needed is told by scan and kept until its last clone is gone",
        rule: &rules::PARENT,
        run: Run::Once(clone_parent),
    },
    Case {
        name: "clone-pins",
        needs: Need::Clones,
        claim: "`pins-parent` says whether a parent is kept",
        rule: &rules::PINS_PARENT,
        run: Run::Once(clone_pins),
    },
    Case {
        name: "unseal",
        needs: Need::Clones,
        claim: "a sealed volume without dependents can be made writable again",
        rule: &rules::UNSEAL,
        run: Run::Once(unseal),
    },
    Case {
        name: "unseal-in-use",
        needs: Need::Clones,
        claim: "a volume that others depend on stays sealed",
        rule: &rules::UNSEAL,
        run: Run::Once(unseal_in_use),
    },
];

fn clone_content(lab: &Lab<'_>) -> Step {
    lab.sealed("base", "shared")?;
    let made = lab.clone_volume("base", "web")?;
    same(&lab.there("web")?, &made, "scan tells of another volume than clone returned")?;
    let wanted = lab.root("base", Access::ReadOnly)?.holdings()?;
    let root = lab.root("web", Access::ReadWrite)?;
    let seen = root.holdings()?;
    let differs = |path: &&std::path::PathBuf| wanted.get(*path) != seen.get(*path);
    let all = wanted.keys().chain(seen.keys().filter(|path| !wanted.contains_key(*path)));
    let different: Vec<String> = all
        .filter(differs)
        .map(|path| {
            format!("{}: {:?} where {:?} was expected", path.display(), seen.get(path), wanted.get(path))
        })
        .collect();
    must(different.is_empty(), "a clone is not equal to its parent", || different.join("; "))?;
    let parent = lab.root("base", Access::ReadOnly)?.owner_and_mode()?;
    same(&root.owner_and_mode()?, &parent, "the root of a clone has another owner or other permissions")
}

fn clone_independent(lab: &Lab<'_>) -> Step {
    lab.sealed("base", "shared")?;
    lab.clone_volume("base", "one")?;
    lab.clone_volume("base", "two")?;
    let before = lab.root("base", Access::ReadOnly)?.holdings()?;
    {
        let one = lab.root("one", Access::ReadWrite)?;
        one.write("words", "changed")?;
        one.write("etc/new", "new")?;
        one.remove("tool")?;
        one.remove("etc/deep/file")?;
    }
    lab.holds("one", "changed", "what was written into a clone is not there")?;
    let one = lab.root("one", Access::ReadOnly)?;
    must(!one.has("tool") && one.has("etc/new"), "a clone forgets what was done in it", || {
        format!("tool: {}, etc/new: {}", one.has("tool"), one.has("etc/new"))
    })?;
    for (id, otherwise) in
        [("base", "writing to a clone changes its parent"), ("two", "writing to a clone changes its sibling")]
    {
        let seen = lab.root(id, Access::ReadOnly)?.holdings()?;
        let changed: Vec<_> =
            before.iter().filter(|(path, was)| seen.get(*path) != Some(*was)).map(|(p, _)| p).collect();
        must(changed.is_empty() && seen.len() == before.len(), otherwise, || format!("{id}: {changed:?}"))?;
    }
    Ok(())
}

fn clone_of_clone(lab: &Lab<'_>) -> Step {
    lab.sealed("one", "1")?;
    for (parent, id) in [("one", "two"), ("two", "three"), ("three", "four")] {
        lab.clone_volume(parent, id)?;
        let root = lab.root(id, Access::ReadWrite)?;
        root.write("words", id)?;
        root.write(id, id)?;
        drop(root);
        lab.seal(id)?;
    }
    lab.holds("four", "four", "the last clone of a chain lost its own files")?;
    lab.holds("one", "1", "the first volume of a chain was changed")?;
    let root = lab.root("four", Access::ReadOnly)?;
    for name in ["tool", "two", "three"] {
        must(root.has(name), "the last clone of a chain lost the files of an earlier one", || {
            name.to_owned()
        })?;
    }
    Ok(())
}

fn clone_of_writable(lab: &Lab<'_>) -> Step {
    lab.filled("base", "still written")?;
    lab.home("web")?;
    let cloned = lab.storage.clone_volume(&lab.operation(), "base", "web", None);
    refused(cloned, FailureKind::Invalid, "cloning a writable volume")?;
    same(&lab.ids()?, &vec!["base".to_owned()], "a clone that was refused is there")
}

fn clone_of_nothing(lab: &Lab<'_>) -> Step {
    lab.home("web")?;
    let cloned = lab.storage.clone_volume(&lab.operation(), "nobody", "web", None);
    refused(cloned, FailureKind::NotFound, "cloning what is not there")?;
    same(&lab.ids()?, &Vec::new(), "a clone of nothing is there")
}

fn clone_again(lab: &Lab<'_>) -> Step {
    lab.sealed("base", "shared")?;
    lab.home("web")?;
    let operation = lab.operation();
    let first = lab.storage.clone_volume(&operation, "base", "web", None)?;
    let second = lab.storage.clone_volume(&operation, "base", "web", None)?;
    same(&second, &first, "the second call tells of another volume than the first")?;
    lab.holds("web", "shared", "the second call loses the content")?;
    let other = lab.storage.clone_volume(&lab.operation(), "base", "web", None);
    refused(other, FailureKind::AlreadyExists, "clone to a name that is taken")
        .map_err(|stop| stop.breaking(&rules::CREATE_TAKEN))?;
    lab.holds("web", "shared", "clone to a name that is taken changes what is there")
}

fn clone_parent(lab: &Lab<'_>) -> Step {
    lab.sealed("base", "shared")?;
    lab.clone_volume("base", "one")?;
    lab.clone_volume("base", "two")?;
    let parent = lab.there("one")?.parent;
    same(&lab.there("two")?.parent, &parent, "two clones of one volume have different parents")?;
    let removed = lab.storage.remove(&lab.operation(), "base");
    if parent.as_deref() == Some("base") {
        refused(removed, FailureKind::InUse, "removing a volume that others depend on")?;
        lab.holds("base", "shared", "a removal that was refused changed the volume")?;
        lab.remove("one")?;
        let removed = lab.storage.remove(&lab.operation(), "base");
        refused(removed, FailureKind::InUse, "removing a volume that another one still depends on")?;
        lab.holds("two", "shared", "removing a clone changes its sibling")?;
        lab.remove("two")?;
        lab.remove("base")?;
    } else {
        same(&parent, &None, "a clone depends on something else than its parent")?;
        // Nobody depends on it, says scan: so nobody misses it.
        removed.map_err(|e| super::super::report::Stop::from(e).breaking(&rules::REMOVE))?;
        lab.holds("one", "shared", "a clone that depends on nothing lost its content with its parent")?;
        lab.holds("two", "shared", "a clone that depends on nothing lost its content with its parent")?;
    }
    gone(lab, "base")
}

fn clone_pins(lab: &Lab<'_>) -> Step {
    let pins = lab.storage.clone_traits()?.pins_parent;
    lab.sealed("base", "shared")?;
    lab.clone_volume("base", "web")?;
    let parent = lab.there("web")?.parent;
    must(parent.is_some() == pins, "`pins-parent` and what scan tells of parents do not agree", || {
        format!("pins-parent is {pins}, and the parent of a clone is {parent:?}")
    })
}

fn unseal(lab: &Lab<'_>) -> Step {
    lab.sealed("web", "kept")?;
    let operation = lab.operation();
    for operation in [operation.clone(), operation, lab.operation()] {
        lab.storage.unseal(&operation, "web")?;
    }
    same(&lab.there("web")?.phase, &Phase::Writable, "scan does not say that it is writable again")?;
    lab.holds("web", "kept", "unsealing loses what is in the volume")?;
    lab.root("web", Access::ReadWrite)?.write("words", "changed")?;
    lab.seal("web")?;
    lab.holds("web", "changed", "what was written after unsealing is not there")
}

fn unseal_in_use(lab: &Lab<'_>) -> Step {
    lab.sealed("base", "shared")?;
    lab.clone_volume("base", "web")?;
    let unsealed = lab.storage.unseal(&lab.operation(), "base");
    if lab.there("web")?.parent.is_none() {
        unsealed?;
        lab.root("base", Access::ReadWrite)?.write("words", "changed")?;
        return lab.holds("web", "shared", "writing to the parent changes a clone that depends on nothing");
    }
    refused(unsealed, FailureKind::InUse, "unsealing a volume that another one depends on")?;
    same(&lab.there("base")?.phase, &Phase::Sealed, "it is writable although something depends on it")?;
    lab.remove("web")?;
    lab.storage.unseal(&lab.operation(), "base")?;
    lab.holds("base", "shared", "unsealing loses what is in the volume")
}
