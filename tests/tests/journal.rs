//! Killed at any step, or out of luck with the disk at any step: an operation is complete or absent.
//!
//! A row of [`VERBS`] is a verb; a row of [`BACKENDS`] is a storage. Each verb runs once to tell its sites, and
//! then once for each site and fault, on the same world.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use wxc_tests::failpoints::{self, Fault};
use wxc_tests::{Env, needs};

/// A verb under test.
struct Verb {
    /// What is there before; the storage's name is given.
    before: &'static [&'static [&'static str]],
    /// The command. `TREE` stands for the root file system to create from, `STORE` for the storage.
    command: &'static [&'static str],
    /// Takes it back, so that the world is as before.
    back: &'static [&'static [&'static str]],
}

const CREATE: &[&str] = &["create", "web", "-t", "local", "-B", "STORE", "--", "--directory", "TREE"];
const DESTROY: &[&str] = &["destroy", "web"];

const SNAPSHOT: &[&str] = &["snapshot", "web", "s"];
const UNSNAPSHOT: &[&str] = &["snapshot", "web", "-d", "s"];
const SET: &[&str] = &["config", "set", "web", "autostart.enabled", "true"];
const SPAWN: &[&str] = &["snapshot", "web", "-r", "s", "-N", "new"];
const UNSPAWN: &[&str] = &["destroy", "new"];
const RESTORE: &[&str] = &["snapshot", "web", "-r", "s"];
const COPY: &[&str] = &["copy", "web", "copy"];
const CLONE: &[&str] = &["copy", "-s", "web", "copy"];
const OTHER: &[&str] = &["copy", "-s", "web", "other"];
const RENAME: &[&str] = &["copy", "-R", "web", "www"];
const RENAME_BACK: &[&str] = &["copy", "-R", "www", "web"];

const IMPORT: &[&str] = &["import", "FILE", "www", "-B", "STORE"];

const VERBS: &[(&str, Verb)] = &[
    ("create", Verb { before: &[], command: CREATE, back: &[DESTROY] }),
    ("destroy", Verb { before: &[CREATE], command: DESTROY, back: &[CREATE] }),
    ("snapshot", Verb { before: &[CREATE], command: SNAPSHOT, back: &[UNSNAPSHOT] }),
    ("unsnapshot", Verb { before: &[CREATE, SNAPSHOT], command: UNSNAPSHOT, back: &[SNAPSHOT] }),
    ("spawn", Verb { before: &[CREATE, SNAPSHOT], command: SPAWN, back: &[UNSPAWN] }),
    ("restore", Verb { before: &[CREATE, SNAPSHOT, SET], command: RESTORE, back: &[SET] }),
    ("copy", Verb { before: &[CREATE], command: COPY, back: &[&["destroy", "copy"]] }),
    // With another clone the original is sealed before and after.
    ("clone", Verb { before: &[CREATE, OTHER], command: CLONE, back: &[&["destroy", "copy"]] }),
    ("import", Verb { before: &[], command: IMPORT, back: &[&["destroy", "-s", "www"]] }),
    ("rename", Verb { before: &[CREATE], command: RENAME, back: &[RENAME_BACK] }),
];

/// Everything that is on disk, without what differs from one time to the next.
type World = BTreeMap<String, String>;

struct Case<'a> {
    env: &'a Env,
    storage: &'a str,
    tree: String,
    /// A container with a snapshot, exported.
    file: String,
    verb: &'a Verb,
}

impl<'a> Case<'a> {
    fn words(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let word = |word: &&'a str| match *word {
            "STORE" => self.storage,
            "TREE" => &self.tree,
            "FILE" => &self.file,
            other => other,
        };
        command.iter().map(word).collect()
    }

    fn all(&self, commands: &[&[&str]]) {
        for command in commands {
            self.env.wxc(self.words(command)).ok();
        }
    }

    /// One fault at one site: what is there afterwards, and that everything goes on from it.
    fn try_at(&self, site: &str, fault: Fault, before: &World, after: &World) {
        let (env, at) = (self.env, format!("{fault:?} at {site}"));
        let command = self.words(self.verb.command);
        let out = failpoints::with_fault(env, &command, fault, site);
        if fault == Fault::Kill {
            assert_ne!(out.code(), 0, "{at}: {}", out.told());
            // Looking finds it or not, and changes nothing.
            let found = world(env);
            let _looked = env.wxc(["doctor", "--json"]).run();
            assert_eq!(found, world(env), "{at}: doctor changed something");
            let repaired = env.wxc(["doctor", "--repair"]).run();
            assert_eq!(repaired.code(), 0, "{at}: {}", repaired.told());
        } else if out.code() != 0 {
            assert!(out.stderr.contains(fault.message()), "{at}: {}", out.told());
        }
        let now = world(env);
        // A step after the decision may fail, and then the next command tidies up.
        let decided = now != *before && now != *after;
        if decided && fault != Fault::Kill {
            assert!(out.stderr.contains("tidy up") || out.code() != 0, "{at}: {}", out.told());
            env.wxc(["doctor", "--repair"]).ok();
        }
        let now = world(env);
        if out.code() == 0 {
            assert_eq!(now, *after, "{at}: it said that it was done: {}", out.told());
        }
        if now == *before {
            env.wxc(&command).ok();
        }
        assert_eq!(world(env), *after, "{at}: neither complete nor absent: {}", out.told());
        env.wxc(["doctor"]).ok();
        self.all(self.verb.back);
        assert_eq!(world(env), *before, "{at}: not as before");
    }
}

fn every_site(name: &str, storage: &str) {
    needs!(root, userns, busybox);
    let env = Env::new();
    let (_, verb) = VERBS.iter().find(|(known, _)| *known == name).expect("a row of the table");
    let tree = small_tree(&env);
    let file = exported(&env, &tree);
    let case = Case { env: &env, storage, tree, file, verb };
    case.all(verb.before);
    // Once for what is made with the first operation of all and stays: the journal's directory.
    env.wxc(case.words(verb.command)).ok();
    case.all(verb.back);
    let before = world(&env);
    let sites = failpoints::sites(&env, &case.words(verb.command));
    let after = world(&env);
    assert_ne!(before, after, "the verb does something");
    case.all(verb.back);
    assert_eq!(world(&env), before, "the way back leads back");
    for site in &sites {
        for fault in Fault::ALL {
            case.try_at(site, fault, &before, &after);
        }
    }
}

/// A root with one of everything, small: it is copied some hundred times.
fn small_tree(env: &Env) -> String {
    let tree = env.file("tree");
    fs::create_dir_all(tree.join("etc/deep")).unwrap();
    fs::write(tree.join("etc/deep/file"), "content").unwrap();
    fs::write(tree.join("large"), vec![7; 100_000]).unwrap();
    std::os::unix::fs::symlink("deep/file", tree.join("etc/link")).unwrap();
    fs::set_permissions(tree.join("large"), fs::Permissions::from_mode(0o4755)).unwrap();
    tree.to_str().unwrap().to_owned()
}

/// The same as an export with a snapshot, of a container that is gone.
fn exported(env: &Env, tree: &str) -> String {
    let file = env.file("web.tar.zst").to_str().unwrap().to_owned();
    env.wxc(["create", "web", "-t", "local", "--", "--directory", tree]).ok();
    env.wxc(["snapshot", "web", "before"]).ok();
    fs::write(env.container("web").join("rootfs/etc/later"), "later").unwrap();
    env.wxc(["export", "web", &file]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
    file
}

fn world(env: &Env) -> World {
    let mut world = World::new();
    walk(&env.path(), &env.path(), &mut world);
    let own = env.file("").display().to_string();
    let registry = fs::read_to_string("/var/lib/wxc/.ids/ranges.json").unwrap_or_default();
    for line in registry.lines().filter(|line| line.contains(&own)) {
        world.insert(format!("ids {}", line.trim()), String::new());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in mounts.lines().filter(|line| line.contains(&own)) {
        world.insert(format!("mount {line}"), String::new());
    }
    world
}

fn walk(top: &Path, directory: &Path, world: &mut World) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(top).unwrap().display().to_string();
        let meta = path.symlink_metadata().unwrap();
        let kind = meta.file_type();
        // The journal may be there or not, as long as it is empty.
        if name != ".journal" {
            let content =
                if kind.is_file() { stable(&name, &fs::read(&path).unwrap()) } else { String::new() };
            let shape = format!("{:o} {} {content}", meta.permissions().mode(), kind.is_socket());
            world.insert(name, shape);
        }
        if kind.is_dir() {
            walk(top, &path, world);
        }
    }
}

/// Content without ids, times and operations, which are others each time.
fn stable(name: &str, content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let file = name.rsplit('/').next().unwrap_or(name);
    match file {
        "container.toml" | "snapshot.toml" => {
            let other = ["users", "groups", "created", "hwaddr"];
            let same = |line: &&str| !other.iter().any(|key| line.trim_start().starts_with(key));
            text.lines().filter(same).collect::<Vec<_>>().join("\n")
        }
        "rootfs.volume" => text.split(' ').next().unwrap_or_default().to_owned(),
        _ => format!(
            "{} bytes, {:x}",
            content.len(),
            content.iter().fold(0_u64, |sum, byte| sum * 31 % 1_000_003 + u64::from(*byte))
        ),
    }
}

#[test]
fn a_create_is_complete_or_absent_at_every_step() {
    every_site("create", "dir");
}

#[test]
fn a_destroy_is_complete_or_absent_at_every_step() {
    every_site("destroy", "dir");
}

#[test]
fn on_layers_a_create_is_complete_or_absent_at_every_step() {
    every_site("create", "overlay");
}

#[test]
fn on_layers_a_destroy_is_complete_or_absent_at_every_step() {
    every_site("destroy", "overlay");
}

#[test]
fn a_snapshot_is_complete_or_absent_at_every_step() {
    every_site("snapshot", "dir");
}

#[test]
fn a_snapshot_is_removed_or_kept_at_every_step() {
    every_site("unsnapshot", "dir");
}

#[test]
fn a_container_from_a_snapshot_is_complete_or_absent_at_every_step() {
    every_site("spawn", "dir");
}

#[test]
fn a_restore_is_complete_or_absent_at_every_step() {
    every_site("restore", "dir");
}

#[test]
fn a_copy_is_complete_or_absent_at_every_step() {
    every_site("copy", "dir");
}

#[test]
fn a_clone_is_complete_or_absent_at_every_step() {
    every_site("clone", "overlay");
}

#[test]
fn an_import_is_complete_or_absent_at_every_step() {
    every_site("import", "dir");
}

#[test]
fn a_rename_is_done_or_not_at_every_step() {
    every_site("rename", "dir");
}

/// Killed while it tidies up after a kill, a command still leaves what the next one can finish.
#[test]
fn settling_can_be_interrupted_as_well() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let (_, verb) = &VERBS[0];
    let case = Case { env: &env, storage: "dir", tree: small_tree(&env), file: String::new(), verb };
    let create = case.words(CREATE);
    let before = {
        env.wxc(&create).ok();
        env.wxc(DESTROY).ok();
        world(&env)
    };
    let broken = || {
        let killed = failpoints::with_fault(&env, &create, Fault::Kill, "create.complete");
        assert_eq!(killed.code(), 137, "{}", killed.told());
    };
    broken();
    let repair = ["doctor", "web", "--repair"];
    for site in failpoints::sites(&env, &repair) {
        broken();
        let killed = failpoints::with_fault(&env, &repair, Fault::Kill, &site);
        assert_eq!(killed.code(), 137, "{site}: {}", killed.told());
        env.wxc(["doctor", "--repair"]).ok();
        assert_eq!(world(&env), before, "{site}");
    }
}

#[test]
fn a_record_that_cannot_be_read_is_kept_and_told() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let newer = r#"{"format":9,"operation":"fold-1","containers":["web"],"intent":{"fold":{}}}"#;
    for (text, why) in [("{\"format\":1,\"oper", "damaged"), (newer, "a newer wxc")] {
        let record = env.path().join(".journal/web.fold-1.json");
        fs::write(&record, text).unwrap();
        let told = env.wxc(["start", "web"]).fails(1);
        assert!(told.contains(why) && told.contains("wxc doctor web"), "{told}");
        let doctor = env.wxc(["doctor", "--repair"]).run();
        assert_eq!(doctor.code(), 1, "{}", doctor.told());
        assert!(doctor.stdout.contains(why), "{}", doctor.told());
        assert_eq!(fs::read_to_string(&record).unwrap(), text);
        // Others are not held up by it.
        env.busybox("other", &[]);
        env.wxc(["destroy", "other"]).ok();
        fs::remove_file(&record).unwrap();
    }
    env.wxc(["doctor"]).ok();
    env.wxc(["destroy", "web"]).ok();
}

#[test]
fn a_record_of_a_container_made_anew_harms_nothing() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let keep = fs::read_dir(env.container("web").join("rootfs")).unwrap().count();
    // As if power had failed before the removal of the records was on the disk.
    for verb in ["create", "destroy"] {
        let text = format!(
            r#"{{"format":1,"operation":"{verb}-1-1","containers":["web"],"intent":{{"{verb}":{{"name":"web","storage":"dir"}}}}}}"#
        );
        fs::write(env.path().join(format!(".journal/web.{verb}-1-1.json")), text).unwrap();
    }
    let found = env.wxc(["doctor", "--json"]).run();
    let report: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((found.code(), report["findings"].as_array().unwrap().len()), (1, 2), "{}", found.told());
    assert_eq!(report["findings"][0]["problem"], "unfinished");
    env.wxc(["doctor", "--repair"]).ok();
    env.wxc(["doctor"]).ok();
    assert_eq!(fs::read_dir(env.container("web").join("rootfs")).unwrap().count(), keep);
    assert_eq!(fs::read_dir(env.path().join(".journal")).unwrap().count(), 0);
}

#[test]
fn what_somebody_works_on_is_left_alone() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("busy", &[]);
    fs::create_dir(env.container("half")).unwrap();
    fs::write(env.container("half").join(".partial"), "").unwrap();
    // A living command holds the lock.
    let key = fs::read_dir(env.run_dir()).unwrap().flatten().next().unwrap().path();
    let lock = fs::File::create(key.join("half.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let out = env.wxc(["doctor", "--repair"]).run();
    assert_eq!(out.code(), 0, "{}", out.told());
    assert!(out.stderr.contains("half was left out"), "{}", out.told());
    assert!(env.container("half").exists());
    drop(lock);
    let out = env.wxc(["doctor"]).run();
    assert!(out.code() == 1 && out.stdout.contains("--repair would: remove it"), "{}", out.told());
    env.wxc(["doctor", "half", "--repair"]).ok();
    assert!(!env.container("half").exists());
}

#[test]
fn storage_without_its_configuration_is_told_and_kept() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("lost", &[]);
    fs::remove_file(env.container("lost").join("container.toml")).unwrap();
    let out = env.wxc(["doctor", "--repair"]).run();
    assert!(out.code() == 1 && out.stdout.contains("container.toml"), "{}", out.told());
    assert!(env.container("lost").join("rootfs/bin").exists());
    env.busybox("gone", &[]);
    fs::remove_dir_all(env.container("gone").join("rootfs")).unwrap();
    let out = env.wxc(["doctor", "gone"]).run();
    assert!(out.code() == 1 && out.stdout.contains("is not there"), "{}", out.told());
}
