//! The verbs on a pool in memory, with the power failing at every step.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::Phase;
use crate::memory::Memory;
use crate::pool::Pool as _;
use crate::restore::restore;
use crate::volume::{copy, create, get, remove, scan, seal, set_size, unseal, usage};

fn ids(pool: &Memory) -> Vec<String> {
    scan(pool, None, 100).unwrap().into_iter().map(|volume| volume.id).collect()
}

/// A container with something in it, and where `nested`, with a subvolume of its own.
fn web(nested: bool) -> Memory {
    let pool = Memory::with(&["web/snaps/s", "new"]);
    create(&pool, "op-web", "web", None).unwrap();
    pool.fill("web", "one");
    if nested {
        pool.plant("web/rootfs/var");
        pool.plant("web/rootfs/var/deep");
    }
    pool
}

/// Runs `verb` with the power failing after 0, 1, 2, ... changes, looks with `check` at what is there then, repeats
/// the verb, and looks with `end`.
fn interrupted<T>(
    pool: impl Fn() -> Memory,
    verb: impl Fn(&Memory) -> Result<T, Error>,
    check: impl Fn(&Memory, usize),
    end: impl Fn(&Memory, usize),
) {
    for cut in 0.. {
        let pool = pool();
        pool.cut_after(Some(cut));
        let failed = verb(&pool).is_err();
        pool.cut_after(None);
        check(&pool, cut);
        assert!(verb(&pool).is_ok(), "cut {cut}");
        end(&pool, cut);
        if !failed {
            return;
        }
    }
}

#[test]
fn a_volume_is_created_sealed_and_removed() {
    let pool = Memory::with(&["web"]);
    assert_eq!(create(&pool, "op1", "web", None).unwrap().phase, Phase::Writable);
    assert_eq!(seal(&pool, "op2", "web").unwrap().phase, Phase::Sealed);
    assert!(pool.is_read_only("web/rootfs"));
    assert_eq!(unseal(&pool, "op3", "web").unwrap().operation.as_deref(), Some("op3"));
    assert!(!pool.is_read_only("web/rootfs"));
    remove(&pool, "web").unwrap();
    remove(&pool, "web").unwrap();
    assert_eq!(pool.paths(), ["web"]);
}

#[test]
fn the_same_operation_converges_and_another_one_is_refused() {
    let pool = web(false);
    assert_eq!(create(&pool, "op-web", "web", None).unwrap().operation.as_deref(), Some("op-web"));
    assert_eq!(create(&pool, "op2", "web", None).unwrap_err().kind, ErrorKind::AlreadyExists);
    seal(&pool, "op3", "web").unwrap();
    copy(&pool, "op4", ("web", "new"), Phase::Writable, None).unwrap();
    copy(&pool, "op4", ("web", "new"), Phase::Writable, None).unwrap();
    let again = copy(&pool, "op5", ("web", "new"), Phase::Writable, None);
    assert_eq!(again.unwrap_err().kind, ErrorKind::AlreadyExists);
}

#[test]
fn an_interrupted_removal_is_whole_or_removing() {
    let whole = |pool: &Memory, cut| {
        let left = scan(pool, None, 9).unwrap().into_iter().find(|volume| volume.id == "web");
        match left.map(|volume| volume.phase) {
            Some(Phase::Writable) => assert_eq!(pool.content("web").as_deref(), Some("one"), "cut {cut}"),
            Some(phase) => assert_eq!(phase, Phase::Removing, "cut {cut}"),
            None => {}
        }
    };
    interrupted(
        || web(true),
        |pool| remove(pool, "web"),
        whole,
        |pool, cut| {
            assert_eq!(pool.paths(), ["new", "web", "web/snaps", "web/snaps/s"], "cut {cut}");
        },
    );
}

#[test]
fn an_interrupted_clone_or_snapshot_is_absent_or_whole() {
    for (nested, size) in [(false, None), (true, None), (false, Some(100)), (true, Some(100))] {
        for (id, phase) in [("new", Phase::Writable), ("web@s", Phase::Sealed)] {
            let whole = |pool: &Memory, cut| {
                let Ok(volume) = get(pool, id) else { return };
                assert_eq!((volume.phase, pool.content(id).as_deref()), (phase, Some("one")), "cut {cut}");
                let inside = pool.below(&crate::layout::root(id)).unwrap();
                assert_eq!(inside.len(), if nested { 2 } else { 0 }, "cut {cut}");
                assert_eq!(pool.is_read_only(&crate::layout::root(id)), phase == Phase::Sealed, "cut {cut}");
            };
            let end = |pool: &Memory, cut| {
                assert_eq!(get(pool, id).unwrap().operation.as_deref(), Some("op"), "cut {cut}");
                whole(pool, cut);
                assert_eq!(pool.limit(&crate::layout::root(id)).unwrap(), size, "cut {cut}");
                assert!(!pool.paths().iter().any(|path| path.contains("rootfs.new")), "cut {cut}");
            };
            interrupted(|| web(nested), |pool| copy(pool, "op", ("web", id), phase, size), whole, end);
        }
    }
}

#[test]
fn an_interrupted_create_or_seal_goes_on() {
    interrupted(
        || Memory::with(&["web"]),
        |pool| create(pool, "op", "web", Some(9)).and_then(|_| seal(pool, "op2", "web")),
        |pool, cut| {
            // Whoever is sealed is durable, and whoever is there has its limit.
            if get(pool, "web").is_ok() {
                assert_eq!(pool.limit("web/rootfs").unwrap(), Some(9), "cut {cut}");
            }
            // The host repeats the call that was interrupted, and none before it.
            if get(pool, "web").is_ok_and(|volume| volume.phase == Phase::Sealed) {
                assert_eq!(get(pool, "web").unwrap().operation.as_deref(), Some("op2"), "cut {cut}");
                unseal(pool, "op", "web").unwrap();
            }
        },
        |pool, cut| assert!(pool.is_read_only("web/rootfs"), "cut {cut}"),
    );
}

#[test]
fn an_interrupted_restore_has_the_old_content_or_the_restored_one() {
    let pool = |nested| {
        move || {
            let pool = web(nested);
            copy(&pool, "op-s", ("web", "web@s"), Phase::Sealed, None).unwrap();
            pool.set_limit("web/rootfs", Some(7)).unwrap();
            pool.fill("web", "two");
            pool
        }
    };
    for nested in [false, true] {
        let either = |pool: &Memory, cut| {
            let content = pool.content("web").unwrap();
            assert!(["one", "two"].contains(&content.as_str()), "cut {cut}: {content}");
            assert_eq!(get(pool, "web").unwrap().phase, Phase::Writable, "cut {cut}");
            assert_eq!(ids(pool), ["web", "web@s"], "cut {cut}");
        };
        let end = |pool: &Memory, cut| {
            assert_eq!(pool.content("web").as_deref(), Some("one"), "cut {cut}");
            assert_eq!(pool.below("web/rootfs").unwrap().len(), if nested { 2 } else { 0 }, "cut {cut}");
            assert_eq!(pool.limit("web/rootfs").unwrap(), Some(7), "cut {cut}");
            assert!(!pool.paths().iter().any(|path| path.contains("rootfs.new")), "cut {cut}");
        };
        interrupted(pool(nested), |pool| restore(pool, "op-r", "web@s"), either, end);
    }
}

#[test]
fn a_restore_that_is_repeated_late_undoes_nothing_and_another_one_begins_anew() {
    let pool = web(false);
    copy(&pool, "op-s", ("web", "web@s"), Phase::Sealed, None).unwrap();
    pool.fill("web", "two");
    restore(&pool, "op-r", "web@s").unwrap();
    pool.fill("web", "three");
    restore(&pool, "op-r", "web@s").unwrap();
    assert_eq!(pool.content("web").as_deref(), Some("three"));
    restore(&pool, "op-r2", "web@s").unwrap();
    assert_eq!(pool.content("web").as_deref(), Some("one"));
    remove(&pool, "web@s").unwrap();
    assert_eq!(restore(&pool, "op-r3", "web@s").unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn scan_tells_subvolumes_in_every_phase_and_no_ordinary_directories() {
    let pool =
        Memory::with(&[".images/0a", ".journal/x", "dir/rootfs", "db", "web/snaps/after", "web/snaps/half"]);
    for root in [".images/0a/rootfs", ".journal/x/rootfs", "db/rootfs", "web/rootfs"] {
        pool.plant(root);
    }
    pool.plant("web/snaps/after/rootfs.removed");
    pool.plant("web/snaps/half/rootfs.new");
    assert_eq!(ids(&pool), [".images@0a", "db", "web", "web@after", "web@half"]);
    let phases: Vec<_> = scan(&pool, Some("db"), 9).unwrap().iter().map(|volume| volume.phase).collect();
    assert_eq!(phases, [Phase::Writable, Phase::Removing, Phase::Incomplete]);
    assert_eq!(scan(&pool, None, 2).unwrap().len(), 2);
    // One of LXC's has no note.
    assert_eq!(get(&pool, "db").unwrap().operation, None);
    // What belongs to another storage is neither removed nor taken for free room.
    assert_eq!(remove(&pool, "dir").unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(create(&pool, "op", "dir", None).unwrap_err().kind, ErrorKind::AlreadyExists);
}

#[test]
fn a_new_volume_takes_the_place_of_what_was_left_unfinished() {
    for left in ["web/rootfs.removed", "web/rootfs.new"] {
        let pool = Memory::with(&["web"]);
        pool.plant(left);
        assert_eq!(create(&pool, "op", "web", None).unwrap().phase, Phase::Writable);
        assert_eq!(pool.directories("web").unwrap(), ["rootfs"]);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nested_subvolumes_are_counted() {
    let pool = web(false);
    // Quota groups are off: the file system begins to count with the first limit.
    assert_eq!(set_size(&pool, "web", Some(2)).unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(pool.limit("web/rootfs").unwrap(), None);
    set_size(&pool, "web", Some(3)).unwrap();
    assert_eq!(set_size(&pool, "web", Some(2)).unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(pool.limit("web/rootfs").unwrap(), Some(3));
    assert_eq!(usage(&pool, "web").unwrap().exclusive, Some(3));
    set_size(&pool, "web", None).unwrap();
    seal(&pool, "op", "web").unwrap();
    assert_eq!(set_size(&pool, "web", Some(9)).unwrap_err().kind, ErrorKind::Invalid);
}
