#![forbid(unsafe_code)]
//! Opening, creating and sealing.

use super::{Case, Need, Run};
use crate::conformance::durable;
use crate::conformance::lab::{Lab, refused, unchanged};
use crate::conformance::report::{Step, fault, must, same};
use crate::conformance::rules;
use crate::plugin::storage::{Access, Phase, Storage as _};
use crate::plugin::{FailureKind, PluginError};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "open",
        needs: Need::Core,
        claim: "open tells the room of the pool and changes nothing",
        rule: &rules::OPEN,
        run: Run::Once(open),
    },
    Case {
        name: "create-empty",
        needs: Need::Core,
        claim: "a new volume is an empty directory 0755 of user 0",
        rule: &rules::CREATE,
        run: Run::Once(create_empty),
    },
    Case {
        name: "create-again",
        needs: Need::Core,
        claim: "create repeated with its operation ends with the same volume",
        rule: &rules::REPEAT,
        run: Run::Once(create_again),
    },
    Case {
        name: "create-taken",
        needs: Need::Core,
        claim: "create of a name that another operation took is already-exists",
        rule: &rules::CREATE_TAKEN,
        run: Run::Once(create_taken),
    },
    Case {
        name: "create-at-home",
        needs: Need::Core,
        claim: "containers, snapshots and images are each kept in their own directory",
        rule: &rules::HOMES,
        run: Run::Once(create_at_home),
    },
    Case {
        name: "create-size-unsupported",
        needs: Need::NoSizes,
        claim: "create with a size is unsupported where there are no sizes",
        rule: &rules::CREATE_SIZE,
        run: Run::Once(create_size_unsupported),
    },
    Case {
        name: "foreign-ids",
        needs: Need::Core,
        claim: "malformed ids reach no backend",
        rule: &rules::VOLUME_ID,
        run: Run::Once(foreign_ids),
    },
    Case {
        name: "unknown-volumes",
        needs: Need::Core,
        claim: "what is not there cannot be sealed, mounted or measured",
        rule: &rules::NOT_FOUND,
        run: Run::Once(unknown_volumes),
    },
    Case {
        name: "seal",
        needs: Need::Core,
        claim: "a sealed volume says so and keeps what is in it",
        rule: &rules::SEAL,
        run: Run::Once(seal),
    },
    Case {
        name: "seal-again",
        needs: Need::Core,
        claim: "sealing a sealed volume succeeds, whichever operation asks",
        rule: &rules::SEAL_AGAIN,
        run: Run::Once(seal_again),
    },
    Case {
        name: "seal-durable",
        needs: Need::Core,
        claim: "what was written is on the disk when seal returns",
        rule: &rules::SEAL,
        run: Run::Once(seal_durable),
    },
    Case {
        name: "sealed-refuses-writing",
        needs: Need::Core,
        claim: "a sealed volume is not mounted for writing",
        rule: &rules::READ_WRITE,
        run: Run::Once(sealed_refuses_writing),
    },
    Case {
        name: "usage",
        needs: Need::Core,
        claim: "usage counts what is in a volume",
        rule: &rules::USAGE,
        run: Run::Once(usage),
    },
];

fn open(lab: &Lab<'_>) -> Step {
    let before = lab.picture(&lab.pool)?;
    let pool = lab.storage.open()?;
    must(pool.total > 0, "a pool without any room", || format!("{pool:?}"))?;
    unchanged(&before, &lab.picture(&lab.pool)?, "open changes the pool")
}

fn create_empty(lab: &Lab<'_>) -> Step {
    let made = lab.create("web")?;
    same(&made.parent, &None, "a new volume depends on another one")?;
    let root = lab.root("web", Access::ReadWrite)?;
    same(&root.names()?, &Vec::new(), "the root of a new volume is not empty")?;
    let me = rustix::process::geteuid().as_raw();
    let (uid, gid, mode) = root.owner_and_mode()?;
    let seen = format!("owner {uid}:{gid}, permissions {mode:04o}");
    must(mode == 0o755, "the root of a new volume has other permissions than 0755", || seen.clone())?;
    must(uid == me, "the root of a new volume does not belong to user 0", || seen)
}

fn create_again(lab: &Lab<'_>) -> Step {
    lab.home("web")?;
    let operation = lab.operation();
    let first = lab.storage.create(&operation, "web", None)?;
    let second = lab.storage.create(&operation, "web", None)?;
    same(&second, &first, "the second call tells of another volume than the first")?;
    same(&lab.scan()?.len(), &1, "there is not exactly one volume after the second call")
}

fn create_taken(lab: &Lab<'_>) -> Step {
    lab.filled("web", "first")?;
    let again = lab.storage.create(&lab.operation(), "web", None);
    refused(again, FailureKind::AlreadyExists, "create of a name that is taken")?;
    lab.holds("web", "first", "the volume that was there lost its content")
}

fn create_at_home(lab: &Lab<'_>) -> Step {
    let ids = ["web", "web@before", ".images@0a1b", "db"];
    for id in ids {
        lab.home(id)?;
    }
    for id in ids {
        let before = lab.picture(&lab.pool)?;
        lab.create(id)?;
        let home = lab.home_of(id);
        let home = home.strip_prefix(&lab.pool).unwrap_or(&home).to_owned();
        let mut elsewhere = lab.picture(&lab.pool)?;
        elsewhere.retain(|path, _| !path.starts_with(&home) || before.contains_key(path));
        let (mut before, mut after) = (before, elsewhere);
        // A directory shows a change of what is in it.
        for picture in [&mut before, &mut after] {
            picture.retain(|path, _| !home.starts_with(path));
        }
        unchanged(&before, &after, &format!("creating {id} changes something outside its directory"))?;
        lab.root(id, Access::ReadWrite)?.write("words", id)?;
    }
    for id in ids {
        lab.holds(id, id, "two volumes share their files")?;
    }
    Ok(())
}

fn create_size_unsupported(lab: &Lab<'_>) -> Step {
    lab.home("web")?;
    let made = lab.storage.create(&lab.operation(), "web", Some(64 << 20));
    refused(made, FailureKind::Unsupported, "create with a size")?;
    same(&lab.ids()?, &Vec::new(), "a volume that was refused is there")?;
    lab.create("web").map(drop)
}

fn foreign_ids(lab: &Lab<'_>) -> Step {
    let long = "a".repeat(64);
    for id in [
        "", ".", "..", "../web", "a/b", "/etc", "web@", "@s", ".images", ".x", "a@b@c", "a\0b", "wéb",
        "web.", &long,
    ] {
        refused(
            lab.storage.create(&lab.operation(), id, None),
            FailureKind::Invalid,
            &format!("the id {id:?}"),
        )?;
        refused(lab.storage.remove(&lab.operation(), id), FailureKind::Invalid, &format!("the id {id:?}"))?;
        refused(lab.storage.mounts(id, Access::ReadOnly), FailureKind::Invalid, &format!("the id {id:?}"))?;
    }
    for operation in ["", "A", "a b", "../x", &"a".repeat(65)] {
        let what = format!("the operation {operation:?}");
        refused(lab.storage.create(operation, "web", None), FailureKind::Invalid, &what)?;
    }
    same(&lab.ids()?, &Vec::new(), "a refused call made a volume")
}

fn unknown_volumes(lab: &Lab<'_>) -> Step {
    lab.home("web")?;
    // Where its home is, and where not even that is.
    for id in ["web", "nobody", "nobody@before", ".images@0a1b"] {
        let not_found = FailureKind::NotFound;
        refused(
            lab.storage.seal(&lab.operation(), id),
            not_found,
            &format!("seal of {id}, which is not there,"),
        )?;
        refused(
            lab.storage.mounts(id, Access::ReadOnly),
            not_found,
            &format!("mounts of {id}, which is not there,"),
        )?;
        refused(lab.storage.usage(id), not_found, &format!("usage of {id}, which is not there,"))?;
    }
    Ok(())
}

fn seal(lab: &Lab<'_>) -> Step {
    lab.sealed("web", "kept")?;
    same(&lab.there("web")?.phase, &Phase::Sealed, "scan does not say that it is sealed")?;
    lab.holds("web", "kept", "sealing loses what was written")
}

fn seal_again(lab: &Lab<'_>) -> Step {
    lab.filled("web", "kept")?;
    let operation = lab.operation();
    for operation in [operation.clone(), operation, lab.operation()] {
        lab.storage.seal(&operation, "web")?;
    }
    lab.holds("web", "kept", "sealing again loses what was written")
}

fn seal_durable(lab: &Lab<'_>) -> Step {
    lab.sealed("web", "kept")?;
    let unwritten = durable::not_on_disk(&lab.home_of("web"))?;
    must(unwritten.is_empty(), "files are still in memory alone after seal", || unwritten.join(", "))
}

fn sealed_refuses_writing(lab: &Lab<'_>) -> Step {
    lab.sealed("web", "kept")?;
    match lab.storage.mounts("web", Access::ReadWrite) {
        Ok(plan) => fault("a sealed volume is mounted for writing", format!("{:?}", plan.mounts)),
        Err(PluginError::Failed { .. }) => lab.holds("web", "kept", "it cannot be read any more"),
        Err(error) => Err(error.into()),
    }
}

fn usage(lab: &Lab<'_>) -> Step {
    lab.sealed("web", "kept")?;
    let before = lab.picture(&lab.home_of("web"))?;
    let usage = lab.storage.usage("web")?;
    unchanged(&before, &lab.picture(&lab.home_of("web"))?, "usage changes the volume")?;
    // What Root::fill puts there: a file of that size, and six entries in all.
    let seen = || format!("{usage:?} of a volume with six entries and 256 KiB");
    must(usage.referenced.is_none_or(|bytes| bytes >= 256 << 10), "it refers to less than is in it", seen)?;
    must(usage.entries.is_none_or(|entries| entries >= 6), "it counts fewer entries than there are", seen)
}
