//! Killed at any step, or out of luck with the disk at any step: an operation is complete or absent.
//!
//! A row of [`rows!`] is a verb on a storage. It runs once to tell its sites, and then once for each site and fault, on
//! the same world.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, syncfs};
use rustix::io::Errno;
use wxc_tests::failpoints::{self, Fault};
use wxc_tests::mount::Mount;
use wxc_tests::needs::{btrfs, skip};
use wxc_tests::world::{World, difference, world};
use wxc_tests::{Env, needs};

/// How much room a full disk has: none, some for a few small files, and some for a part of the tree.
const ROOMS: [u64; 3] = [0, 16 << 10, 96 << 10];

type Words = &'static [&'static str];

/// A verb under test.
struct Row {
    storage: &'static str,
    /// What is there before.
    before: &'static [Words],
    /// The command.
    command: Words,
    /// Takes it back, so that the world is as before.
    back: &'static [Words],
    /// Leads from after it to a third world that is as good: of two things the one that the other needs.
    half: &'static [Words],
}

// `STORE` stands for the storage with its options, and `TREE` for the root file system to create from. `WRITE` is not a
// command: it gives a container that does not run another content.
const CREATE: Words = &["create", "web", "-t", "local", "STORE", "--", "--directory", "TREE"];
const IMAGE: Words = &["create", "web", "-t", "local", "STORE", "--", "--tarball", "TREE.tar"];
const PRUNE: Words = &["image", "prune"];
const DESTROY: Words = &["destroy", "web"];
const DESTROY_ALL: Words = &["destroy", "-s", "web"];
const WRITE: Words = &["WRITE", "web"];
const SNAPSHOT: Words = &["snapshot", "web", "s"];
const UNSNAPSHOT: Words = &["snapshot", "web", "-d", "s"];
const SET: Words = &["config", "set", "web", "autostart.enabled", "true"];
const SPAWN: Words = &["snapshot", "web", "-r", "s", "-N", "new"];
const UNSPAWN: Words = &["destroy", "new"];
const RESTORE: Words = &["snapshot", "web", "-r", "s"];
const COPY: Words = &["copy", "web", "copy"];
const UNCOPY: Words = &["destroy", "copy"];
const CLONE: Words = &["copy", "-s", "web", "copy"];
/// Of a container that runs, by a snapshot for which it rests.
const LIVE_CLONE: Words = &["copy", "-s", "-a", "web", "copy"];
const START: Words = &["start", "web", "--", "/sleep", "1000000"];
const OTHER: Words = &["copy", "-s", "web", "other"];
const RENAME: Words = &["copy", "-R", "web", "www"];
const RENAME_BACK: Words = &["copy", "-R", "www", "web"];
const IMPORT: Words = &["import", "TREE.export", "www", "STORE"];
const UNIMPORT: Words = &["destroy", "-s", "www"];
const GROW: Words = &["resize", "web", "32M"];
const SHRINK: Words = &["resize", "web", "16M"];

macro_rules! rows {
    ($($name:ident: $storage:literal, $before:expr, $command:expr, $back:expr $(, half $half:expr)?;)*) => {
        $(#[test]
        fn $name() {
            needs!(root, userns, busybox, disks);
            if let Some(reason) = btrfs().filter(|_| $storage == "btrfs") {
                return skip(&reason);
            }
            let half: &[Words] = &[$($half)?];
            every_site(&Row { storage: $storage, before: &$before, command: $command, back: &$back, half });
        })*
    };
}

rows! {
    a_create: "dir", [], CREATE, [DESTROY];
    a_destroy: "dir", [CREATE], DESTROY, [CREATE];
    a_snapshot: "dir", [CREATE], SNAPSHOT, [UNSNAPSHOT];
    an_unsnapshot: "dir", [CREATE, SNAPSHOT], UNSNAPSHOT, [SNAPSHOT];
    a_spawn: "dir", [CREATE, SNAPSHOT], SPAWN, [UNSPAWN];
    a_restore: "dir", [CREATE, SNAPSHOT, WRITE, SET], RESTORE, [WRITE, SET];
    a_copy: "dir", [CREATE], COPY, [UNCOPY];
    a_rename: "dir", [CREATE], RENAME, [RENAME_BACK];

    an_import: "dir", [], IMPORT, [UNIMPORT];

    on_layers_a_create: "overlay", [], CREATE, [DESTROY];
    on_layers_an_image: "overlay", [], IMAGE, [DESTROY, PRUNE], half DESTROY;
    on_layers_a_destroy: "overlay", [CREATE], DESTROY, [CREATE];
    on_layers_a_snapshot: "overlay", [CREATE, WRITE], SNAPSHOT, [DESTROY_ALL, CREATE, WRITE];
    on_layers_an_unsnapshot: "overlay", [CREATE, SNAPSHOT], UNSNAPSHOT, [DESTROY_ALL, CREATE, SNAPSHOT];
    on_layers_a_spawn: "overlay", [CREATE, SNAPSHOT], SPAWN, [UNSPAWN];
    on_layers_a_restore: "overlay", [CREATE, SNAPSHOT, WRITE, SET], RESTORE, [WRITE, SET];
    on_layers_a_copy: "overlay", [CREATE], COPY, [UNCOPY];
    // With another clone the original is sealed before and after.
    on_layers_a_clone: "overlay", [CREATE, OTHER], CLONE, [UNCOPY];
    on_layers_a_clone_of_what_runs: "overlay", [CREATE, START], LIVE_CLONE, [UNCOPY];
    on_layers_a_rename: "overlay", [CREATE, SNAPSHOT], RENAME, [RENAME_BACK];

    on_layers_an_import: "overlay", [], IMPORT, [UNIMPORT];

    on_btrfs_a_create: "btrfs", [], CREATE, [DESTROY];
    on_btrfs_an_image: "btrfs", [], IMAGE, [DESTROY, PRUNE], half DESTROY;
    on_btrfs_a_destroy: "btrfs", [CREATE], DESTROY, [CREATE];
    on_btrfs_a_snapshot: "btrfs", [CREATE], SNAPSHOT, [UNSNAPSHOT];
    on_btrfs_an_unsnapshot: "btrfs", [CREATE, SNAPSHOT], UNSNAPSHOT, [SNAPSHOT];
    on_btrfs_a_spawn: "btrfs", [CREATE, SNAPSHOT], SPAWN, [UNSPAWN];
    on_btrfs_a_restore: "btrfs", [CREATE, SNAPSHOT, WRITE, SET], RESTORE, [WRITE, SET];
    on_btrfs_a_copy: "btrfs", [CREATE], COPY, [UNCOPY];
    on_btrfs_a_clone: "btrfs", [CREATE], CLONE, [UNCOPY];
    on_btrfs_a_rename: "btrfs", [CREATE], RENAME, [RENAME_BACK];
    on_btrfs_an_import: "btrfs", [], IMPORT, [UNIMPORT];
    on_btrfs_a_resize: "btrfs", [CREATE, SHRINK], GROW, [SHRINK];
    on_btrfs_a_shrinking: "btrfs", [CREATE, GROW], SHRINK, [GROW];

    in_a_disk_a_create: "loop", [], CREATE, [DESTROY];
    in_a_disk_a_destroy: "loop", [CREATE], DESTROY, [CREATE];
    in_a_disk_a_snapshot: "loop", [CREATE], SNAPSHOT, [UNSNAPSHOT];
    in_a_disk_an_unsnapshot: "loop", [CREATE, SNAPSHOT], UNSNAPSHOT, [SNAPSHOT];
    in_a_disk_a_spawn: "loop", [CREATE, SNAPSHOT], SPAWN, [UNSPAWN];
    in_a_disk_a_restore: "loop", [CREATE, SNAPSHOT, WRITE, SET], RESTORE, [WRITE, SET];
    in_a_disk_a_copy: "loop", [CREATE], COPY, [UNCOPY];
    in_a_disk_a_rename: "loop", [CREATE], RENAME, [RENAME_BACK];
    in_a_disk_an_import: "loop", [], IMPORT, [UNIMPORT];
    in_a_disk_a_growth: "loop", [CREATE], GROW, [DESTROY, CREATE];
    in_a_disk_a_shrinking: "loop", [CREATE, GROW], SHRINK, [DESTROY, CREATE, GROW];
}

struct Case<'a> {
    env: &'a Env,
    tree: String,
    row: &'a Row,
}

impl<'a> Case<'a> {
    fn words(&'a self, command: Words) -> Vec<String> {
        let word = |word: &&'static str| match *word {
            "STORE" if self.row.storage == "loop" => vec!["-B", "loop", "--size", "16M"],
            "STORE" => vec!["-B", self.row.storage],
            other => vec![other],
        };
        command.iter().flat_map(word).map(|word| word.replace("TREE", &self.tree)).collect()
    }

    fn all(&self, commands: &[Words]) {
        for command in commands {
            match command {
                ["WRITE", name] => write(self.env, name),
                command => drop(self.env.wxc(self.words(command)).ok()),
            }
        }
    }

    /// One fault at one site: what is there afterwards, and that everything goes on from it.
    fn try_at(&self, site: &str, fault: Fault, worlds: &Worlds) {
        let (env, at) = (self.env, format!("{fault:?} at {site}"));
        let command = self.words(self.row.command);
        let out = failpoints::with_fault(env, &command, fault, site);
        let mut now = if fault == Fault::Kill {
            assert_eq!(out.code(), 137, "{at}: {}", out.told());
            self.repair(site, &at);
            world(env)
        } else {
            if out.code() != 0 {
                assert!(out.stderr.contains(fault.message()), "{at}: {}", out.told());
            }
            let found = world(env);
            if worlds.know(&found) {
                found
            } else {
                // A step after the decision may fail, and then the next command tidies up.
                let wrong = difference(&worlds.before, &found);
                assert!(out.stderr.contains("tidy up"), "{at}: {}{wrong}", out.told());
                env.wxc(["doctor", "--repair"]).ok();
                world(env)
            }
        };
        if out.code() == 0 {
            let wrong = difference(&worlds.after, &now);
            assert_eq!(wrong, "", "{at}: it said that it was done: {}", out.told());
        }
        if now != worlds.after && worlds.know(&now) {
            env.wxc(&command).ok();
            now = world(env);
        }
        let wrong = difference(&worlds.after, &now);
        assert_eq!(wrong, "", "{at}: neither complete nor absent: {}", out.told());
        self.all(self.row.back);
    }

    /// A disk that is really full, or becomes so on the way: the command says so, and once there is room everything goes on.
    fn try_full(&self, room: u64, worlds: &Worlds) {
        let (env, at) = (self.env, format!("with room for {room} bytes"));
        let command = self.words(self.row.command);
        let ballast = fill(env, room);
        let out = env.wxc(&command).run();
        fs::remove_file(ballast).unwrap();
        // btrfs has the room back with its next commit.
        syncfs(fs::File::open(env.path()).unwrap()).unwrap();
        if out.code() != 0 {
            let told = ["No space left", "than what is left in"].iter().any(|why| out.stderr.contains(why));
            assert!(told, "{at}: {}", out.told());
            // Nobody should have to remove something by other means first.
            let removes = [DESTROY, UNSNAPSHOT].contains(&self.row.command);
            assert!(!removes, "{at}: {}", out.told());
        }
        // Before anybody looks: a disk that ran full can only be mounted for writing.
        if out.stderr.contains("tidy up") {
            env.wxc(["doctor", "--repair"]).ok();
        }
        let mut now = world(env);
        if now != worlds.after && worlds.know(&now) {
            assert_ne!(out.code(), 0, "{at}: it said that it was done: {}", out.told());
            env.wxc(&command).ok();
            now = world(env);
        }
        assert_eq!(difference(&worlds.after, &now), "", "{at}: neither complete nor absent: {}", out.told());
        self.all(self.row.back);
    }

    /// What the next command does. Now and then: the doctor finds it or not, and changes nothing by looking.
    fn repair(&self, site: &str, at: &str) {
        if site.ends_with("#1") {
            let found = world(self.env);
            let _looked = self.env.wxc(["doctor", "--json"]).run();
            assert_eq!(difference(&found, &world(self.env)), "", "{at}: doctor changed something");
        }
        let repaired = self.env.wxc(["doctor", "--repair"]).run();
        assert_eq!(repaired.code(), 0, "{at}: {}", repaired.told());
    }
}

/// What there may be.
struct Worlds {
    before: World,
    half: World,
    after: World,
}

impl Worlds {
    fn know(&self, world: &World) -> bool {
        [&self.before, &self.half, &self.after].contains(&world)
    }
}

fn every_site(row: &Row) {
    let env = match row.storage {
        "btrfs" => Env::in_memory("btrfs"),
        _ => Env::in_memory("ext4"),
    };
    let case = Case { env: &env, tree: small_tree(&env), row };
    if row.command == IMPORT {
        export(&env, &case.tree);
    }
    if row.before.contains(&START) {
        program(&env);
    }
    case.all(row.before);
    // Once for what is made with the first operation of all and stays: the journal's directory.
    env.wxc(case.words(row.command)).ok();
    case.all(row.back);
    let before = world(&env);
    let mut sites = failpoints::sites(&env, &case.words(row.command));
    // One entry of a tree is as good as another: before the first, and among them.
    sites.retain(|site| !site.contains(".entry#") || site.ends_with("#1") || site.ends_with("#4"));
    let after = world(&env);
    assert_ne!(before, after, "the verb does something");
    let half = match row.half {
        [] => after.clone(),
        half => {
            case.all(half);
            let world = world(&env);
            env.wxc(case.words(row.command)).ok();
            world
        }
    };
    case.all(row.back);
    assert_eq!(difference(&before, &world(&env)), "", "the way back leads back");
    let worlds = Worlds { before, half, after };
    // A full disk and a broken one take the same way.
    for (site, failing) in sites.iter().zip([Fault::Full, Fault::Broken].into_iter().cycle()) {
        case.try_at(site, Fault::Kill, &worlds);
        case.try_at(site, failing, &worlds);
    }
    let rooms = match row {
        // What runs would write to the full disk, too.
        row if row.before.contains(&START) => 0,
        _ => ROOMS.len(),
    };
    for room in ROOMS.into_iter().take(rooms) {
        case.try_full(room, &worlds);
    }
    env.wxc(["doctor"]).ok();
    assert_eq!(difference(&worlds.before, &world(&env)), "", "not as before");
}

/// What the container can run, and the places where that finds its mounts.
fn program(env: &Env) {
    let tree = env.file("tree");
    fs::copy("/bin/busybox", tree.join("sleep")).unwrap();
    for directory in ["dev", "proc", "sys"] {
        fs::create_dir(tree.join(directory)).unwrap();
    }
}

/// Takes all of the disk that the containers are on, but for so many bytes; the file that does.
fn fill(env: &Env, room: u64) -> PathBuf {
    let path = env.path().join(".ballast");
    let file = fs::File::create_new(&path).unwrap();
    let (mut length, mut piece) = (0, 64 << 20);
    while piece >= 4096 {
        match fallocate(&file, FallocateFlags::empty(), length, piece) {
            Ok(()) => length += piece,
            Err(Errno::NOSPC) => piece /= 2,
            Err(error) => panic!("the disk cannot be filled: {error}"),
        }
    }
    file.set_len(length - room).unwrap();
    file.sync_all().unwrap();
    path
}

/// An export with a snapshot, of a container that is gone.
fn export(env: &Env, tree: &str) {
    env.wxc(["create", "web", "-t", "local", "--", "--directory", tree]).ok();
    env.wxc(["snapshot", "web", "before"]).ok();
    write(env, "web");
    env.wxc(["export", "web", &format!("{tree}.export")]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
}

/// Gives a container that does not run another content, as if it had run.
fn write(env: &Env, name: &str) {
    let top = |directory: &Path| {
        let layers = ["rootfs", "delta"].map(|layer| directory.join(layer));
        layers.into_iter().find(|layer| layer.is_dir()).expect("a container has content")
    };
    let disk = env.container(name).join("rootdev");
    let mounted = disk.exists().then(|| Mount::inside(&disk, "loop"));
    let root = mounted.as_ref().map_or_else(|| top(&env.container(name)), |disk| PathBuf::from(disk.path()));
    fs::write(root.join("written"), "later").unwrap();
}

/// A root with one of everything, small: it is copied some hundred times. The same as an archive is beside it.
fn small_tree(env: &Env) -> String {
    let tree = env.file("tree");
    fs::create_dir_all(tree.join("etc/deep")).unwrap();
    fs::write(tree.join("etc/deep/file"), "content").unwrap();
    fs::write(tree.join("etc/hostname"), "tree\n").unwrap();
    fs::write(tree.join("large"), vec![7; 100_000]).unwrap();
    fs::hard_link(tree.join("large"), tree.join("etc/same")).unwrap();
    std::os::unix::fs::symlink("deep/file", tree.join("etc/link")).unwrap();
    fs::set_permissions(tree.join("large"), fs::Permissions::from_mode(0o4755)).unwrap();
    let mut archive = tar::Builder::new(fs::File::create(env.file("tree.tar")).unwrap());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", &tree).and_then(|()| archive.finish()).unwrap();
    tree.to_str().unwrap().to_owned()
}
