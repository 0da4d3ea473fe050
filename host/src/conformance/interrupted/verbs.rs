#![forbid(unsafe_code)]
//! The verbs that are cut short, as a table.

use super::*;
use crate::conformance::cases::Run;

/// Each verb in both ways.
pub(in crate::conformance) const CASES: &[Case] = &[
    case(
        "cut-create",
        Need::Core,
        "create ended at any call converges",
        &rules::REPEAT,
        &CREATE,
        Strike::End,
    ),
    case("cut-seal", Need::Core, "seal ended at any call converges", &rules::REPEAT, &SEAL, Strike::End),
    case(
        "cut-remove",
        Need::Core,
        "remove ended at any call leaves the volume whole or removing",
        &rules::REMOVE_HALF,
        &REMOVE,
        Strike::End,
    ),
    case("cut-clone", Need::Clones, "clone ended at any call converges", &rules::REPEAT, &CLONE, Strike::End),
    case(
        "cut-unseal",
        Need::Clones,
        "unseal ended at any call converges",
        &rules::REPEAT,
        &UNSEAL,
        Strike::End,
    ),
    case(
        "cut-remove-clone",
        Need::Clones,
        "remove of a clone ended at any call leaves it whole or removing",
        &rules::REMOVE_HALF,
        &REMOVE_CLONE,
        Strike::End,
    ),
    case(
        "cut-snapshot",
        Need::Snapshots,
        "take ended at any call converges",
        &rules::REPEAT,
        &TAKE,
        Strike::End,
    ),
    case(
        "cut-restore",
        Need::Snapshots,
        "restore ended at any call has the old content or the restored one, and converges",
        &rules::RESTORE_HALF,
        &RESTORE,
        Strike::End,
    ),
    case(
        "full-create",
        Need::Core,
        "create on a full disk says so and converges later",
        &rules::REPEAT,
        &CREATE,
        Strike::NoSpace,
    ),
    case(
        "full-seal",
        Need::Core,
        "seal on a full disk says so and converges later",
        &rules::REPEAT,
        &SEAL,
        Strike::NoSpace,
    ),
    case(
        "full-remove",
        Need::Core,
        "remove on a full disk leaves the volume whole or removing",
        &rules::REMOVE_HALF,
        &REMOVE,
        Strike::NoSpace,
    ),
    case(
        "full-clone",
        Need::Clones,
        "clone on a full disk says so and converges later",
        &rules::REPEAT,
        &CLONE,
        Strike::NoSpace,
    ),
    case(
        "full-snapshot",
        Need::Snapshots,
        "take on a full disk says so and converges later",
        &rules::REPEAT,
        &TAKE,
        Strike::NoSpace,
    ),
    case(
        "cut-rest",
        Need::SnapshotsAtRest,
        "take at rest ended at any call converges",
        &rules::REPEAT,
        &REST,
        Strike::End,
    ),
    case(
        "full-rest",
        Need::SnapshotsAtRest,
        "take at rest on a full disk says so and converges later",
        &rules::REPEAT,
        &REST,
        Strike::NoSpace,
    ),
    case(
        "full-restore",
        Need::Snapshots,
        "restore on a full disk has the old content or the restored one",
        &rules::RESTORE_HALF,
        &RESTORE,
        Strike::NoSpace,
    ),
];

const fn case(
    name: &'static str,
    needs: Need,
    claim: &'static str,
    rule: &'static rules::Rule,
    verb: &'static Verb,
    strike: Strike,
) -> Case {
    Case { name, needs, claim, rule, run: Run::Interrupted(verb, strike) }
}

static CREATE: Verb = Verb {
    prepare: |lab| lab.home("web").map(drop),
    call: |storage, operation| storage.create(operation, "web", None).map(drop),
    between: |lab| absent_or_whole(lab, "web", Phase::Writable, ""),
    done: |lab| {
        same(&lab.there("web")?.phase, &Phase::Writable, "the volume is not writable in the end")?;
        same(
            &lab.root("web", Access::ReadWrite)?.names()?,
            &Vec::new(),
            "the root of a new volume is not empty",
        )
    },
    target: Some("web"),
};

static SEAL: Verb = Verb {
    prepare: |lab| lab.filled("web", "kept"),
    call: |storage, operation| storage.seal(operation, "web").map(drop),
    between: |lab| {
        let phase = lab.there("web")?.phase;
        must(
            matches!(phase, Phase::Writable | Phase::Sealed),
            "the volume is neither writable nor sealed",
            || format!("{phase:?}"),
        )?;
        lab.holds("web", "kept", "sealing loses what was written")
    },
    done: |lab| {
        same(&lab.there("web")?.phase, &Phase::Sealed, "the volume is not sealed in the end")?;
        lab.holds("web", "kept", "sealing loses what was written")
    },
    target: Some("web"),
};

static REMOVE: Verb = Verb {
    prepare: |lab| lab.sealed("web", "kept"),
    call: |storage, operation| storage.remove(operation, "web"),
    between: |lab| whole_or_removing(lab, "web", "kept"),
    done: |lab| super::super::cases::gone(lab, "web"),
    target: None,
};

static CLONE: Verb = Verb {
    prepare: |lab| {
        lab.sealed("base", "shared")?;
        lab.home("web").map(drop)
    },
    call: |storage, operation| storage.clone_volume(operation, "base", "web", None).map(drop),
    between: |lab| {
        absent_or_whole(lab, "web", Phase::Writable, "shared")?;
        lab.holds("base", "shared", "cloning changes the parent")
    },
    done: |lab| {
        lab.there("web")?;
        lab.holds("web", "shared", "the clone has not its parent's content in the end")?;
        let root = lab.root("web", Access::ReadOnly)?;
        must(
            root.has("tool") && root.has("etc/deep/file"),
            "the clone has not all of its parent's files",
            || format!("{:?}", root.names()),
        )
    },
    target: Some("web"),
};

static UNSEAL: Verb = Verb {
    prepare: |lab| lab.sealed("web", "kept"),
    call: |storage, operation| storage.unseal(operation, "web").map(drop),
    between: |lab| {
        let phase = lab.there("web")?.phase;
        must(
            matches!(phase, Phase::Writable | Phase::Sealed),
            "the volume is neither writable nor sealed",
            || format!("{phase:?}"),
        )?;
        lab.holds("web", "kept", "unsealing loses what is in the volume")
    },
    done: |lab| {
        same(&lab.there("web")?.phase, &Phase::Writable, "the volume is not writable in the end")?;
        lab.holds("web", "kept", "unsealing loses what is in the volume")
    },
    target: Some("web"),
};

static REMOVE_CLONE: Verb = Verb {
    prepare: |lab| {
        lab.sealed("base", "shared")?;
        lab.clone_volume("base", "web").map(drop)
    },
    call: |storage, operation| storage.remove(operation, "web"),
    between: |lab| {
        whole_or_removing(lab, "web", "shared")?;
        lab.holds("base", "shared", "removing a clone changes its parent")
    },
    done: |lab| {
        super::super::cases::gone(lab, "web")?;
        lab.holds("base", "shared", "removing a clone changes its parent")
    },
    target: None,
};

static TAKE: Verb = Verb {
    prepare: |lab| {
        lab.filled("web", "old")?;
        lab.home("web@s0").map(drop)
    },
    call: |storage, operation| storage.snapshot(operation, "web", "web@s0").map(drop),
    between: |lab| absent_or_whole(lab, "web@s0", Phase::Sealed, "old"),
    done: |lab| {
        same(&lab.there("web@s0")?.phase, &Phase::Sealed, "the snapshot is not sealed in the end")?;
        lab.holds("web@s0", "old", "the snapshot has not the content in the end")?;
        same(&lab.there("web")?.phase, &Phase::Writable, "the volume is not writable in the end")?;
        lab.holds("web", "old", "taking a snapshot changes the volume")
    },
    target: None,
};

static REST: Verb = Verb {
    prepare: |lab| {
        lab.filled("web", "old")?;
        lab.home("web@s0").map(drop)
    },
    call: |storage, operation| storage.snapshot_at_rest(operation, "web", "web@s0").map(drop),
    between: |lab| {
        absent_or_whole(lab, "web@s0", Phase::Sealed, "old")?;
        lab.holds("web", "old", "taking a snapshot changes the volume")
    },
    done: |lab| {
        same(&lab.there("web@s0")?.phase, &Phase::Sealed, "the snapshot is not sealed in the end")?;
        lab.holds("web@s0", "old", "the snapshot has not the content in the end")
    },
    target: Some("web@s0"),
};

static RESTORE: Verb = Verb {
    prepare: |lab| {
        lab.filled("web", "old")?;
        lab.snapshot("web", "s0")?;
        lab.root("web", Access::ReadWrite)?.write("words", "new")
    },
    call: |storage, operation| storage.restore(operation, "web@s0").map(drop),
    between: |lab| {
        lab.holds("web@s0", "old", "restoring changes the snapshot")?;
        let volume = lab.there("web")?;
        if volume.phase == Phase::Incomplete {
            return Ok(());
        }
        let words = lab.words("web")?;
        must(
            words == "new" || words == "old",
            "the volume has neither the old content nor the restored one",
            || format!("{words:?}"),
        )
    },
    done: |lab| {
        lab.holds("web", "old", "the volume has not the restored content in the end")?;
        same(&lab.there("web")?.phase, &Phase::Writable, "the volume is not writable in the end")?;
        lab.holds("web@s0", "old", "restoring changes the snapshot")
    },
    target: None,
};
