//! The verbs together, and the power failing at each of their steps.
//!
//! A directory `v1` in a layer stands for content: what a volume shows is what its layers hold together.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::Phase;
use crate::clone::{clone, unseal};
use crate::memory::Memory;
use crate::pool::Pool;
use crate::rename::rename;
use crate::snapshot::{restore, take, take_at_rest};
use crate::volume::{create, find, get, remove, scan, seal};
use crate::{chain, layout};

/// Names of content in a volume, from all of its layers.
fn content(pool: &Memory, id: &str) -> Vec<String> {
    let layers = chain::layers(pool, id).unwrap();
    let mut names: Vec<String> = layers.iter().flat_map(|layer| pool.directories(layer).unwrap()).collect();
    names.sort();
    names
}

/// Something is written in the container.
fn write(pool: &Memory, id: &str, name: &str) {
    pool.put(&format!("{}/{name}", chain::layers(pool, id).unwrap()[0]));
}

fn parent(pool: &Memory, id: &str) -> Option<String> {
    get(pool, id).unwrap().parent
}

fn ids(pool: &Memory) -> Vec<String> {
    scan(pool, None, 100).unwrap().into_iter().map(|volume| volume.id).collect()
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind
}

/// `web` with `v1` in it, and room for two snapshots and a clone.
fn web() -> Memory {
    let pool = Memory::with(&["web/snaps/a", "web/snaps/b", "two", ".images"]);
    create(&pool, "make", "web").unwrap();
    write(&pool, "web", "v1");
    pool
}

#[test]
fn a_base_is_created_sealed_and_removed() {
    let pool = web();
    assert_eq!(get(&pool, "web").unwrap().phase, Phase::Writable);
    assert_eq!(seal(&pool, "seal", "web").unwrap().phase, Phase::Sealed);
    assert_eq!(seal(&pool, "again", "web").unwrap().operation.as_deref(), Some("seal"));
    remove(&pool, "web").unwrap();
    remove(&pool, "web").unwrap();
    assert_eq!(kind(get(&pool, "web")), ErrorKind::NotFound);
    assert_eq!(pool.directories("web").unwrap(), ["snaps"]);
    assert!(!pool.has("web/rootfs.volume"));
}

#[test]
fn a_clone_is_a_layer_over_what_is_sealed() {
    let pool = web();
    assert_eq!(kind(clone(&pool, "c", "web", "two")), ErrorKind::Invalid);
    seal(&pool, "s", "web").unwrap();
    assert_eq!(clone(&pool, "c", "web", "two").unwrap().parent.as_deref(), Some("web"));
    assert_eq!(clone(&pool, "c", "web", "two").unwrap().phase, Phase::Writable);
    assert_eq!(kind(clone(&pool, "d", "web", "two")), ErrorKind::AlreadyExists);
    write(&pool, "two", "v2");
    assert_eq!(content(&pool, "two"), ["v1", "v2"]);
    assert_eq!(content(&pool, "web"), ["v1"]);
    assert_eq!(chain::layers(&pool, "two").unwrap(), ["two/delta", "web/rootfs"]);
    assert!(pool.has("two/overlay-work"));
}

#[test]
fn a_parent_is_kept_until_its_last_clone_is_gone() {
    let pool = web();
    seal(&pool, "s", "web").unwrap();
    clone(&pool, "c", "web", "two").unwrap();
    for refused in [remove(&pool, "web"), unseal(&pool, "u", "web").map(drop)] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InUse);
        assert!(error.message.contains("two"), "{}", error.message);
    }
    remove(&pool, "two").unwrap();
    assert_eq!(unseal(&pool, "u", "web").unwrap().phase, Phase::Writable);
    assert_eq!(unseal(&pool, "u", "web").unwrap().operation.as_deref(), Some("u"));
}

#[test]
fn a_container_of_lxc_or_of_storage_dir_can_be_a_parent() {
    let pool = Memory::with(&["old/rootfs/v1", "two"]);
    let old = get(&pool, "old").unwrap();
    assert_eq!((old.phase, old.operation), (Phase::Writable, None));
    pool.write("old/rootfs.volume", "sealed by-dir\n").unwrap();
    clone(&pool, "c", "old", "two").unwrap();
    assert_eq!(content(&pool, "two"), ["v1"]);
}

#[test]
fn a_snapshot_is_the_layer_and_the_volume_goes_on_above_it() {
    let pool = web();
    let taken = take(&pool, "t", "web", "web@a").unwrap();
    assert_eq!((taken.phase, taken.parent), (Phase::Sealed, None));
    assert_eq!(parent(&pool, "web").as_deref(), Some("web@a"));
    write(&pool, "web", "v2");
    assert_eq!(content(&pool, "web@a"), ["v1"]);
    assert_eq!(take(&pool, "t", "web", "web@a").unwrap().phase, Phase::Sealed);
    assert_eq!(kind(take(&pool, "u", "web", "web@a")), ErrorKind::AlreadyExists);

    take(&pool, "u", "web", "web@b").unwrap();
    write(&pool, "web", "v3");
    assert_eq!(content(&pool, "web@b"), ["v1", "v2"]);
    assert_eq!(content(&pool, "web"), ["v1", "v2", "v3"]);
    let error = remove(&pool, "web@a").unwrap_err();
    assert!(error.kind == ErrorKind::InUse && error.message.contains("web@b"), "{}", error.message);

    restore(&pool, "r", "web@a").unwrap();
    assert_eq!(content(&pool, "web"), ["v1"]);
    write(&pool, "web", "v4");
    restore(&pool, "r", "web@a").unwrap();
    assert_eq!(content(&pool, "web"), ["v1", "v4"], "a repetition does nothing more");
    restore(&pool, "r2", "web@b").unwrap();
    assert_eq!(content(&pool, "web"), ["v1", "v2"]);

    assert_eq!(ids(&pool), ["web", "web@a", "web@b"]);
    for id in ["web", "web@b", "web@a"] {
        remove(&pool, id).unwrap();
    }
    assert_eq!(ids(&pool), Vec::<String>::new());
}

#[test]
fn a_volume_that_is_gone_comes_back_from_its_snapshot() {
    let pool = web();
    take(&pool, "t", "web", "web@a").unwrap();
    remove(&pool, "web").unwrap();
    restore(&pool, "r", "web@a").unwrap();
    assert_eq!((content(&pool, "web"), parent(&pool, "web")), (vec!["v1".into()], Some("web@a".into())));
}

#[test]
fn only_a_writable_volume_and_its_own_name_make_a_snapshot() {
    let pool = web();
    assert_eq!(kind(take(&pool, "t", "web", "two@a")), ErrorKind::Invalid);
    assert_eq!(kind(take(&pool, "t", "web", "web")), ErrorKind::Invalid);
    assert_eq!(kind(restore(&pool, "r", "web")), ErrorKind::Invalid);
    assert_eq!(kind(restore(&pool, "r", "web@a")), ErrorKind::NotFound);
    seal(&pool, "s", "web").unwrap();
    assert_eq!(kind(take(&pool, "t", "web", "web@a")), ErrorKind::Invalid);
}

#[test]
fn there_are_no_more_layers_than_can_be_mounted() {
    let pool = web();
    for n in 1..chain::MOST {
        pool.put(&format!("web/snaps/n{n}"));
        take(&pool, &format!("t{n}"), "web", &format!("web@n{n}")).unwrap();
    }
    assert_eq!(chain::layers(&pool, "web").unwrap().len(), chain::MOST);
    assert_eq!(kind(take(&pool, "t", "web", "web@a")), ErrorKind::Unsupported);
    seal(&pool, "s", "web").unwrap();
    assert_eq!(kind(clone(&pool, "c", "web", "two")), ErrorKind::Unsupported);
}

#[test]
fn a_parent_that_is_missing_is_said() {
    let pool = web();
    seal(&pool, "s", "web").unwrap();
    clone(&pool, "c", "web", "two").unwrap();
    pool.remove_tree("web/rootfs").unwrap();
    let error = chain::layers(&pool, "two").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Integrity);
    assert!(error.message.contains("two") && error.message.contains("web"), "{}", error.message);
    pool.put("web/rootfs");
    pool.write("web/rootfs.volume", "sealed x two\n").unwrap();
    assert_eq!(kind(chain::layers(&pool, "two")), ErrorKind::Integrity, "a circle");
}

#[test]
fn dependents_follow_a_new_name() {
    let pool = web();
    take(&pool, "t", "web", "web@a").unwrap();
    take(&pool, "u", "web", "web@b").unwrap();
    clone(&pool, "c", "web@a", "two").unwrap();
    // The host has renamed the directory, with the snapshots in it.
    pool.rename("web", "www").unwrap();
    for cut in 0.. {
        let again = pool.clone();
        let failed = again.cut(cut, |pool| rename(pool, "web", "www"));
        rename(&again, "web", "www").unwrap();
        assert_eq!(parent(&again, "two").as_deref(), Some("www@a"));
        assert_eq!(parent(&again, "www").as_deref(), Some("www@b"));
        assert_eq!(content(&again, "www"), ["v1"]);
        if !failed {
            break;
        }
    }
    assert_eq!(kind(rename(&Memory::default(), "web", "www")), ErrorKind::NotFound);
}

#[test]
fn scan_finds_roots_snapshots_images_and_nothing_else() {
    let pool = Memory::with(&[
        ".images/0a1b/rootfs",
        ".journal/x/rootfs",
        "db/delta",
        "half",
        "web/rootfs",
        "web/snaps/after/rootfs.removed",
        "web/snaps/before/delta.next",
    ]);
    assert_eq!(ids(&pool), [".images@0a1b", "db", "web", "web@after", "web@before"]);
    assert_eq!(scan(&pool, None, 9).unwrap()[3].phase, Phase::Removing);
    let page = scan(&pool, Some("db"), 2).unwrap();
    assert_eq!(page.iter().map(|volume| volume.id.as_str()).collect::<Vec<_>>(), ["web", "web@after"]);
}

/// Cuts `verb` off after each of its changes in turn. Each time `halfway` looks at what is left; then the verb is repeated, and
/// `afterwards` looks at that.
fn interrupted<T>(
    pool: &Memory,
    verb: impl Fn(&Memory) -> Result<T, Error>,
    halfway: impl Fn(&Memory, usize),
    afterwards: impl Fn(&Memory, usize),
) {
    for cut in 0.. {
        let pool = pool.clone();
        let failed = pool.cut(cut, &verb);
        halfway(&pool, cut);
        verb(&pool).unwrap_or_else(|error| panic!("repeated after {cut} changes: {}", error.message));
        afterwards(&pool, cut);
        let names = pool.directories("web").unwrap();
        let rest = names.iter().find(|name| *name == layout::NEXT || name.ends_with(".removed"));
        assert_eq!(rest, None, "after {cut} changes");
        if !failed {
            assert!(cut > 1, "it changes nothing");
            return;
        }
    }
}

#[test]
fn an_interrupted_snapshot_loses_nothing() {
    let first = web();
    let second = web();
    take(&second, "t", "web", "web@a").unwrap();
    write(&second, "web", "v2");
    for (pool, snapshot) in [(first, "web@a"), (second, "web@b")] {
        let before = content(&pool, "web");
        interrupted(
            &pool,
            |pool| take(pool, "op", "web", snapshot),
            |pool, cut| {
                assert_eq!(content(pool, "web"), before, "{cut}");
                if find(pool, snapshot).unwrap().is_some() {
                    assert_eq!(content(pool, snapshot), before, "{cut}");
                    assert_eq!(parent(pool, "web").as_deref(), Some(snapshot), "{cut}");
                    // And nobody can take it away from under the volume.
                    assert_eq!(kind(remove(pool, snapshot)), ErrorKind::InUse, "{cut}");
                }
                // Something else than a repetition comes next.
                let other = pool.clone();
                seal(&other, "seal", "web").unwrap();
                assert_eq!(content(&other, "web"), before, "{cut}");
                remove(&other, "web").unwrap();
                assert_eq!(find(&other, "web").unwrap().map(|found| found.phase()), None, "{cut}");
            },
            |pool, cut| {
                assert_eq!(content(pool, "web"), before, "{cut}");
                assert_eq!(content(pool, snapshot), before, "{cut}");
                write(pool, "web", "later");
                assert_eq!(content(pool, snapshot), before, "{cut}");
            },
        );
    }
}

#[test]
fn a_snapshot_of_what_is_mounted_is_a_copy_and_moves_nothing() {
    let first = web();
    let second = web();
    take(&second, "t", "web", "web@a").unwrap();
    write(&second, "web", "v2");
    for (pool, snapshot, below) in [(first, "web@a", None), (second, "web@b", Some("web@a"))] {
        let (before, layers) = (content(&pool, "web"), chain::layers(&pool, "web").unwrap());
        let same = |pool: &Memory, cut: usize| {
            assert_eq!(chain::layers(pool, "web").unwrap(), layers, "{cut}");
            assert_eq!(content(pool, "web"), before, "{cut}");
        };
        interrupted(
            &pool,
            |pool| take_at_rest(pool, "op", "web", snapshot),
            |pool, cut| {
                same(pool, cut);
                match find(pool, snapshot).unwrap().map(|found| found.phase()) {
                    None | Some(Phase::Incomplete) => {}
                    Some(Phase::Sealed) => assert_eq!(content(pool, snapshot), before, "{cut}"),
                    Some(other) => panic!("{cut}: {other:?}"),
                }
                let other = pool.clone();
                remove(&other, snapshot).unwrap();
                assert!(find(&other, snapshot).unwrap().is_none(), "{cut}");
            },
            |pool, cut| {
                same(pool, cut);
                assert_eq!(parent(pool, snapshot).as_deref(), below, "{cut}");
                write(pool, "web", "later");
                assert_eq!(content(pool, snapshot), before, "{cut}");
            },
        );
        assert_eq!(kind(take_at_rest(&pool, "op", "web", "two@a")), ErrorKind::Invalid);
        take_at_rest(&pool, "op", "web", snapshot).unwrap();
        write(&pool, "web", "later");
        restore(&pool, "r", snapshot).unwrap();
        assert_eq!(content(&pool, "web"), before);
    }
}

#[test]
fn an_interrupted_restore_is_old_or_restored() {
    let pool = web();
    take(&pool, "t", "web", "web@a").unwrap();
    write(&pool, "web", "v2");
    take(&pool, "u", "web", "web@b").unwrap();
    write(&pool, "web", "v3");
    let (old, b, a) = (content(&pool, "web"), content(&pool, "web@b"), content(&pool, "web@a"));
    // The newer one is what the volume is built on already; its note would look the same.
    for (snapshot, restored) in [("web@a", a), ("web@b", b)] {
        interrupted(
            &pool,
            |pool| restore(pool, "op", snapshot),
            |pool, cut| {
                let shown = content(pool, "web");
                assert!(shown == old || shown == restored, "{cut}: {shown:?}");
            },
            |pool, cut| assert_eq!(content(pool, "web"), restored, "{cut}"),
        );
    }
}

#[test]
fn interrupted_core_verbs_can_be_repeated() {
    let pool = web();
    seal(&pool, "s", "web").unwrap();
    interrupted(
        &pool,
        |pool| clone(pool, "op", "web", "two"),
        |pool, cut| {
            if find(pool, "two").unwrap().is_some() {
                assert_eq!(content(pool, "two"), ["v1"], "{cut}");
                assert!(pool.has("two/overlay-work"), "{cut}");
            }
        },
        |pool, cut| assert_eq!(content(pool, "two"), ["v1"], "{cut}"),
    );
    interrupted(
        &pool,
        |pool| remove(pool, "web"),
        |pool, cut| {
            let found = find(pool, "web").unwrap();
            assert!(
                found.is_none_or(|found| (found.phase() == Phase::Removing) != pool.has("web/rootfs/v1")),
                "{cut}"
            );
        },
        |pool, cut| assert_eq!(ids(pool), Vec::<String>::new(), "{cut}"),
    );
    let empty = Memory::with(&["web"]);
    interrupted(
        &empty,
        |pool| create(pool, "op", "web").and_then(|_| seal(pool, "op2", "web")),
        |pool, cut| {
            if find(pool, "web").unwrap().is_some_and(|found| found.phase() == Phase::Writable) {
                assert_eq!(get(pool, "web").unwrap().operation.as_deref(), Some("op"), "{cut}");
            }
            if find(pool, "web").unwrap().is_some_and(|found| found.phase() == Phase::Sealed) {
                // The first call has been answered long ago.
                remove(pool, "web").unwrap();
            }
        },
        |pool, cut| assert_eq!(get(pool, "web").unwrap().phase, Phase::Sealed, "{cut}"),
    );
}

#[test]
fn a_new_volume_takes_the_place_of_one_half_removed() {
    let pool = Memory::with(&["web/rootfs.removed/bin", "web/overlay-work"]);
    assert_eq!(create(&pool, "op", "web").unwrap().phase, Phase::Writable);
    assert_eq!(pool.directories("web").unwrap(), ["rootfs"]);
}
