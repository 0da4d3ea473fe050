//! Recorded calls: what failed is kept with everything that it was told, and runs again without the host that it failed on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use wxc_tests::fixtures::Packed;
use wxc_tests::server::Server;
use wxc_tests::{Env, Run, fixtures, guest, needs, root};

/// A world with a probe, a hook that does what its settings for a container say; its name is its own, because grants are the machine's.
struct World {
    env: Env,
    probe: String,
}

impl World {
    fn new(word: &str) -> Self {
        let env = Env::new();
        fs::create_dir(env.file("plugins")).unwrap();
        let world = Self { env, probe: format!("hook-{word}") };
        world.build(
            &root().join("tests/probe"),
            &world.env.file("plugins").join(&world.probe).with_extension("wasm"),
        );
        world.wxc(&["plugin", "grant", &world.probe]).ok();
        world.env.busybox("web", &[]);
        world
    }

    fn build(&self, source: &Path, component: &Path) {
        let manifest = self.env.file("plugin.toml");
        let text = fs::read_to_string(root().join("tests/probe/plugin.toml")).unwrap();
        fs::write(&manifest, text.replace("\"hook-probe\"", &format!("{:?}", self.probe))).unwrap();
        guest::built(source, "hook_probe", &manifest, component);
    }

    /// The probe with a change in its source, as its author would mend it.
    fn changed(&self, name: &str, edits: &[(&str, &str)]) -> PathBuf {
        let source = self.env.file(name);
        Run::host("cp", ["-r".as_ref(), root().join("tests/probe").as_os_str(), source.as_os_str()]).ok();
        let file = source.join("src/lib.rs");
        let wit = format!("{}/wit/", root().display());
        let mut text = fs::read_to_string(&file).unwrap().replace("../../wit/", &wit);
        for (old, new) in edits {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, new);
        }
        fs::write(&file, text).unwrap();
        let manifest = source.join("Cargo.toml");
        // A module of its own, so that the probe of the others stays what it is.
        let crate_name = format!("hook-probe-{name}");
        let cargo =
            fs::read_to_string(&manifest).unwrap().replace("\"hook-probe\"", &format!("{crate_name:?}"));
        fs::write(&manifest, cargo).unwrap();
        let lock = source.join("Cargo.lock");
        let locked = fs::read_to_string(&lock).unwrap().replace("\"hook-probe\"", &format!("{crate_name:?}"));
        fs::write(&lock, locked).unwrap();
        let component = self.env.file(&format!("{name}.wasm"));
        let about = self.env.file("plugin.toml");
        guest::built(&source, &crate_name.replace('-', "_"), &about, &component)
    }

    fn wxc(&self, words: &[&str]) -> Run {
        self.env.wxc(words).env("WXC_PLUGIN_DIR", self.env.file("plugins"))
    }

    fn tell(&self, key: &str, value: &str) {
        self.wxc(&["config", "set", "web", &format!("hooks.{}.settings.{key}", self.probe), value]).ok();
    }

    fn records(&self) -> Vec<PathBuf> {
        records(&self.env.container("web").join("calls"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mut revoke = self.wxc(&["plugin", "revoke", &self.probe]).into_command();
        let _revoked = revoke.output();
    }
}

fn records(directory: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.path()).collect();
    all.sort();
    all
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_call_that_failed_is_kept_and_runs_again() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new("replayed");
    world.tell("at-pre-start", "fail");
    let said = world.wxc(&["start", "web"]).fails(1);
    let [record] = &world.records()[..] else { panic!("{:?}", world.records()) };
    assert!(said.contains(&format!("wxc plugin replay {}", record.display())), "{said}");
    assert_eq!(fs::metadata(record).unwrap().permissions().mode() & 0o777, 0o600);
    let log = fs::read_to_string(world.env.container("web").join("hooks.log")).unwrap();
    assert!(log.contains(&format!("recorded in {}", record.display())), "{log}");
    let held = json(record);
    assert_eq!(held["call"], "hook.act");
    assert_eq!(held["outcome"]["failed"]["message"], "on purpose");
    let calls: Vec<&str> =
        held["host-calls"].as_array().unwrap().iter().map(|c| c["call"].as_str().unwrap()).collect();
    assert_eq!(calls, ["store.get", "store.set"]);

    // What it kept is something else by now, and the container gone: the record is enough.
    let kept = world.env.file("kept.json");
    fs::copy(record, &kept).unwrap();
    world.wxc(&["destroy", "-f", "web"]).ok();
    let told = world.wxc(&["plugin", "replay", text(&kept)]).ok();
    assert!(told.contains("the same: it failed (Failed): on purpose"), "{told}");

    // Mended: it ends otherwise, after the same calls.
    let mended =
        world.changed("mended", &[("\"fail\" => Err(failed(\"on purpose\"))", "\"fail\" => Ok(())")]);
    let output = world.wxc(&["plugin", "replay", text(&kept), "--with", text(&mended)]).run();
    assert_eq!(output.code(), 1, "{}", output.told());
    assert!(
        output.stdout.contains("another file") && output.stdout.contains("different: what came of it"),
        "{}",
        output.told()
    );
    assert!(
        output.stdout.contains("now:  it answered null") && !output.stdout.contains("host call"),
        "{}",
        output.told()
    );

    // Changed: it asks something else, and is ended there.
    let edits = [(
        "remember(\"called\"",
        "log::emit(log::Level::Info, \"it logs now\");\n        remember(\"heard\"",
    )];
    let changed = world.changed("changed", &edits);
    let output = world.wxc(&["plugin", "replay", text(&kept), "--with", text(&changed)]).run();
    assert_eq!(output.code(), 1, "{}", output.told());
    let different = ["different: host call 1", "then: store.get(\"called\")", "now:  store.get(\"heard\")"];
    assert!(different.iter().all(|words| output.stdout.contains(words)), "{}", output.told());
    assert!(output.stderr.contains("log: it logs now"), "{}", output.told());
    let output = world.wxc(&["plugin", "replay", text(&kept), "--with", text(&changed), "--json"]).run();
    let told: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((told["same"].as_bool(), told["parting"]["at"].as_u64()), (Some(false), Some(1)));
}

#[test]
fn each_way_to_fail_is_the_same_again() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new("failing");
    let ways = [
        ("at-pre-start", "trap"),
        ("at-pre-start", "loop"),
        ("change-1", "fail"),
        ("change-1", "flood"),
        ("judge", "trap"),
    ];
    for (key, word) in ways {
        world.tell(key, word);
        world.wxc(&["start", "web"]).within(60).fails(1);
        let record = world.records().pop().unwrap();
        let told = world.wxc(&["plugin", "replay", text(&record)]).within(60).ok();
        assert!(told.contains("the same: "), "{key} {word}: {told}");
        world.tell(key, "none");
        world.wxc(&["config", "unset", "web", &format!("hooks.{}.settings.{key}", world.probe)]).ok();
    }
    assert_eq!(world.records().len(), ways.len());
}

#[test]
fn the_administrator_says_what_is_recorded() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new("chosen");
    world.tell("at-pre-start", "fail");
    world.env.configure("[plugins]\nrecord = \"none\"\n");
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(!said.contains("replay") && world.records().is_empty(), "{said}");
    world.env.configure("[plugins]\nrecord = \"some\"\n");
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(said.contains("record") && said.contains("failures"), "{said}");

    world.env.configure("[plugins]\nrecord = \"all\"\n");
    world.tell("at-pre-start", "token");
    world.tell("change-1", "set-variable GREETING hello");
    world.wxc(&["start", "web"]).ok();
    world.wxc(&["stop", "-k", "web"]).ok();
    let calls: Vec<String> =
        world.records().iter().map(|r| json(r)["call"].as_str().unwrap().to_owned()).collect();
    for call in ["hook.adjust", "hook.validate", "hook.act"] {
        assert!(calls.iter().any(|known| known == call), "{call} is not in {calls:?}");
    }
    for record in world.records() {
        let told = world.wxc(&["plugin", "replay", text(&record)]).ok();
        assert!(told.contains("the same: it answered"), "{}: {told}", record.display());
    }
    // What is asked about no container at all is beside them.
    let asked = records(&world.env.path().join(".plugin-calls"));
    assert!(asked.iter().any(|record| json(record)["call"] == "hook.subscribe"), "{asked:?}");
}

/// A container that goes again when its hook fails must not take the record along.
#[test]
fn the_record_of_a_create_that_failed_stays() {
    needs!(root, userns, busybox, wasm_target);
    let world = World::new("created");
    world.env.configure(&format!("[hooks.{}.settings]\nat-create = \"fail\"\n", world.probe));
    let tree = fixtures::busybox().to_str().unwrap();
    let said = world.wxc(&["create", "new", "-t", "local", "--", "--directory", tree]).fails(1);
    assert!(!world.env.container("new").exists());
    let [record] = &records(&world.env.path().join(".plugin-calls"))[..] else { panic!("not one record") };
    assert!(said.contains(text(record)), "{said}");
    world.wxc(&["plugin", "replay", text(record)]).ok();
    // It is no container, and nothing that a doctor minds.
    assert!(!world.wxc(&["ls"]).ok().contains("calls"));
    let doctor = world.wxc(&["doctor"]).run();
    assert!(!doctor.stdout.contains("plugin-calls"), "{}", doctor.told());
}

#[test]
fn what_a_template_asked_a_server_is_played_without_it() {
    needs!(root, userns, busybox);
    const WORDS: [&str; 5] = ["busybox", "one", "amd64", "default", "20260722_05:24"];
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&format!("{}[plugins]\nrecord = \"all\"\n", server.remote("local")));
    let metadata = fixtures::packed(&[("config", "lxc.arch = x86_64\nlxc.init.cmd = /bin/sleep 1000000\n")]);
    server.flat_image(WORDS, fs::read(fixtures::busybox_archive(Packed::Xz)).unwrap(), metadata);
    let words = ["create", "web", "-B", "dir", "-t", "download", "--", "--server", "local"];
    env.wxc(words.into_iter().chain(["--dist", "busybox", "--release", "one", "--arch", "amd64"])).ok();
    let asked = server.seen("/meta/1.0/index-user").len();
    env.configure("");
    let all = records(&env.path().join(".plugin-calls"));
    let calls: Vec<String> =
        all.iter().map(|record| json(record)["call"].as_str().unwrap().to_owned()).collect();
    for call in ["template.options", "template.resolve", "template.finish"] {
        assert!(calls.iter().any(|known| known == call), "{call} is not in {calls:?}");
    }
    for record in &all {
        let told = env.wxc(["plugin", "replay", text(record)]).ok();
        assert!(told.contains("the same: it answered"), "{}: {told}", record.display());
    }
    assert_eq!(server.seen("/meta/1.0/index-user").len(), asked, "the server was asked again");
}

/// A pool cannot be given to the author of a plugin; a record of what was asked of it can.
#[test]
fn what_a_storage_did_is_played_without_its_pool() {
    needs!(root, userns, busybox, loop_devices, mkfs_ext4);
    let env = Env::new();
    env.configure("[plugins]\nrecord = \"all\"\n");
    let tree = fixtures::busybox().to_str().unwrap();
    let (place, kept) = (env.path().join(".storage-calls"), env.file("kept"));
    fs::create_dir(&kept).unwrap();
    for storage in ["dir", "overlay", "loop"] {
        for words in [
            vec!["create", storage, "-B", storage, "-t", "local", "--", "--directory", tree],
            vec!["snapshot", storage],
            vec!["copy", storage, "other"],
            vec!["snapshot", "-r", "snap0", storage],
            vec!["copy", "-R", "other", "-N", "another"],
            vec!["destroy", "another"],
            vec!["destroy", "-s", storage],
        ] {
            env.wxc(words).ok();
            // Before newer ones push them out.
            for record in records(&place) {
                fs::rename(&record, kept.join(record.file_name().unwrap())).unwrap();
            }
        }
    }
    let all = records(&kept);
    let calls: Vec<String> =
        all.iter().map(|record| json(record)["call"].as_str().unwrap().to_owned()).collect();
    for call in ["open", "scan", "create", "seal", "mounts", "remove"].map(|verb| format!("volumes.{verb}")) {
        assert!(calls.contains(&call), "{call} is not in {calls:?}");
    }
    for call in ["clones.clone", "snapshots.take", "snapshots.restore", "renames.rename"] {
        assert!(calls.iter().any(|known| known == call), "{call} is not in {calls:?}");
    }
    for record in &all {
        let told = env.wxc(["plugin", "replay", text(record)]).ok();
        assert!(told.contains("the same: it "), "{}: {told}", record.display());
    }
    assert!(!env.container("dir").exists(), "a call that was played did something");

    // Another storage does it in another way, and is told so.
    let created = &all[calls.iter().position(|call| call == "volumes.create").unwrap()];
    let output = env.wxc(["plugin", "replay", text(created), "--with", "storage-overlay"]).run();
    assert_eq!(output.code(), 1, "{}", output.told());
    assert!(output.stdout.contains("different: host call"), "{}", output.told());

    // One that fails says where it is kept, and is understood as before.
    env.configure("[plugins]\nrecord = \"failures\"\n");
    let said = env.wxc(["create", "web", "-B", "btrfs", "-t", "local", "--", "--directory", tree]).fails(1);
    let [record] = &records(&place)[..] else { panic!("{:?}", records(&place)) };
    assert!(said.contains(text(record)), "{said}");
    assert!(env.wxc(["plugin", "replay", text(record)]).ok().contains("the same: it failed"));
    let words = ["create", "web", "-B", "best", "-t", "local", "--", "--directory", tree];
    let told = env.wxc(words).run().told();
    assert!(told.contains("best storage here"), "{told}");
}

#[test]
fn what_cannot_be_replayed_is_said() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new("unplayable");
    let replay = |file: &Path| world.wxc(&["plugin", "replay", text(file)]).fails(2);
    let said = replay(Path::new("nowhere.json"));
    assert!(said.contains("cannot read nowhere.json"), "{said}");
    let file = world.env.file("x.json");
    fs::write(&file, "{}").unwrap();
    let said = replay(&file);
    assert!(said.contains("is no record that can be used") && said.contains("docs/plugins.md"), "{said}");
    let pipe = world.env.file("pipe");
    Run::host("mkfifo", [&pipe]).ok();
    assert!(replay(&pipe).contains("it is no regular file"));
    world.tell("at-pre-start", "fail");
    world.wxc(&["start", "web"]).fails(1);
    let record = world.records().pop().unwrap();
    let with = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut held = json(&record);
        edit(&mut held);
        fs::write(&file, serde_json::to_vec(&held).unwrap()).unwrap();
        replay(&file)
    };
    let said = with(&|held| held["wxc-record"] = 7.into());
    assert!(said.contains("it has the form 7"), "{said}");
    let said = with(&|held| held["cut"] = true.into());
    assert!(said.contains("too long"), "{said}");
    let said = with(&|held| held["call"] = "hook.dance".into());
    assert!(said.contains("hook.dance"), "{said}");
    let said = with(&|held| held["arguments"] = serde_json::json!([]));
    assert!(said.contains("what hook.act was called with"), "{said}");
    let said = with(&|held| held["digest"] = "0".repeat(64).into());
    assert!(said.contains("which is not here") && said.contains("--with"), "{said}");
    let said = world.wxc(&["plugin", "replay", text(&record), "--with", "template-local"]).fails(2);
    assert!(said.contains("is a template plugin, not a hook plugin"), "{said}");
}
