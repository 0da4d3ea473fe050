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

const VERBS: &[(&str, Verb)] = &[
    ("create", Verb { before: &[], command: CREATE, back: &[DESTROY] }),
    ("destroy", Verb { before: &[CREATE], command: DESTROY, back: &[CREATE] }),
];

/// Everything that is on disk, without what differs from one time to the next.
type World = BTreeMap<String, String>;

struct Case<'a> {
    env: &'a Env,
    storage: &'a str,
    tree: String,
    verb: &'a Verb,
}

impl<'a> Case<'a> {
    fn words(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let word = |word: &&'a str| match *word {
            "STORE" => self.storage,
            "TREE" => &self.tree,
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
    let case = Case { env: &env, storage, tree: small_tree(&env), verb };
    case.all(verb.before);
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
