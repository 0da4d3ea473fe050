//! A plugin that tries everything: each attempt has to end in an error that names plugin, call and, for a
//! budget, which one; and nothing outside its volumes may be touched.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use common::{compiler, failure, places};
use wxc::plugin::budget::Limit;
use wxc::plugin::storage::Access;
use wxc::plugin::{
    FailureKind, Places, PluginError, Plugins, Quiet, SettingValues, Storage as _, StoragePlugin,
};

/// Builds the guest, with a feature or without, and returns its module: a core one, or a component for WASI.
fn module(feature: Option<&str>, triple: &str) -> PathBuf {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/hostile");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    // One target directory, so that what the guest depends on is built once; one after the other.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--locked", "--target", triple]);
    cargo
        .arg("--target-dir")
        .arg(&target)
        .current_dir(guest)
        .args(feature.map(|f| format!("--features={f}")));
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER"] {
        cargo.env_remove(flags);
    }
    assert!(cargo.status().unwrap().success(), "cannot build the guest");
    let kept = target.join(format!("{}-{triple}.wasm", feature.unwrap_or("plain")));
    fs::copy(target.join(triple).join("release/hostile.wasm"), &kept).unwrap();
    kept
}

/// A plugin file of the guest under a name, in a new directory.
fn plugin_file(dir: &Path, name: &str, feature: Option<&str>) -> PathBuf {
    static KEPT: Mutex<BTreeMap<Option<&str>, PathBuf>> = Mutex::new(BTreeMap::new());
    let module = {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let feature: Option<&'static str> = feature.map(|f| match f {
            "fetch" => "fetch",
            "rootfs" => "rootfs",
            "subvolumes" => "subvolumes",
            _ => "commands",
        });
        kept.entry(feature).or_insert_with(|| module(feature, "wasm32-unknown-unknown")).clone()
    };
    encode(dir, name, &module, feature == Some("commands"))
}

/// The commands that the guest declares when it has any.
const COMMANDS: &str = r#"
[commands.say]
argv = ["echo", "{what:name}"]
reason = "none"
[commands.show]
argv = ["cat", "{file}"]
reason = "none"
[commands.environment]
argv = ["env"]
reason = "none"
[commands.missing]
argv = ["no-such-program"]
reason = "none"
[commands.fails]
argv = ["ls", "/does-not-exist"]
reason = "none"
[commands.late]
argv = ["sleep", "100"]
reason = "none"
deadline = 1
"#;

fn encode(dir: &Path, name: &str, module: &Path, commands: bool) -> PathBuf {
    let (manifest, file) = (dir.join("plugin.toml"), dir.join(format!("{name}.wasm")));
    let text = format!(
        "name = \"{name}\"\nkind = \"storage\"\nversion = \"6.6.6\"\napi = \"0.1\"\ndescription = \"bad\"\n\
         pool = \"directory\"\n[limits]\ntime = 200\n{}",
        if commands { COMMANDS } else { "" }
    );
    fs::write(&manifest, text).unwrap();
    let encoded =
        Command::new(compiler()).arg("encode").args([module, manifest.as_path(), &file]).status().unwrap();
    assert!(encoded.success());
    file
}

struct World {
    top: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        let pool = top.path().join("pool/web/rootfs");
        fs::create_dir_all(&pool).unwrap();
        fs::write(top.path().join("secret"), "secret").unwrap();
        fs::write(top.path().join("pool/web/container.toml"), "untouched").unwrap();
        fs::write(pool.join("evil"), "privileged = true").unwrap();
        std::os::unix::fs::symlink("/etc", pool.join("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            pool.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        Self { top }
    }

    fn places(&self) -> Places {
        places(self.top.path())
    }

    fn open(&self, name: &str) -> Result<StoragePlugin, PluginError> {
        let pool = self.top.path().join("pool");
        Plugins::new(self.places()).storage(name, &pool, &SettingValues::new(), Arc::new(Quiet))
    }

    /// Installs and grants the guest under a name.
    fn granted(&self, name: &str) -> StoragePlugin {
        let plugins = Plugins::new(self.places());
        plugins.install(&plugin_file(self.top.path(), name, None)).unwrap();
        plugins.grant(name, &[]).unwrap();
        self.open(name).unwrap()
    }
}

#[test]
fn every_budget_stops_the_guest_and_is_named() {
    let world = World::new();
    let guest = world.granted("hostile");
    let limit = |id: &str| match guest.create("op", id, None) {
        Err(PluginError::Budget { plugin, call, limit }) => {
            assert_eq!((plugin.to_string().as_str(), call), ("plugin hostile 6.6.6", "volumes.create"));
            limit
        }
        other => panic!("{id}: {other:?}"),
    };
    assert!(matches!(limit("loop"), Limit::Time(_)));
    assert!(matches!(limit("memory"), Limit::Memory(_)));
    assert!(matches!(limit("stack"), Limit::Stack));
    assert!(matches!(limit("handles"), Limit::Handles(_)));
    assert!(matches!(limit("calls"), Limit::HostCalls(_)));
    assert!(matches!(limit("result"), Limit::Result(_)));
    let error = guest.create("op", "loop", None).unwrap_err().to_string();
    assert_eq!(
        error,
        "plugin hostile 6.6.6: volumes.create was stopped: time budget of 200ms of processor time used up"
    );
    // The plugin is as good as new afterwards.
    assert_eq!(guest.create("op", "web", None).unwrap().id, "web");
}

#[test]
fn crashes_lies_and_escape_sequences_are_reported_as_such() {
    let world = World::new();
    let guest = world.granted("hostile");
    assert!(matches!(
        guest.create("op", "panic", None),
        Err(PluginError::Trap { call: "volumes.create", .. })
    ));
    for broken in ["other", "setting"] {
        let error = guest.create("op", broken, None).unwrap_err();
        assert!(matches!(error, PluginError::Broken { .. }), "{broken}: {error}");
    }
    assert!(matches!(guest.seal("op", "web"), Err(PluginError::Broken { .. })));
    assert!(matches!(guest.scan(None, 5), Err(PluginError::Broken { .. })));
    let message = guest.create("op", "escapes", None).unwrap_err().to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
    for lie in ["above", "config", "container", "options"] {
        let error = guest.mounts(lie, Access::ReadWrite).unwrap_err();
        assert!(matches!(error, PluginError::Broken { .. }), "{lie}: {error}");
    }
}

#[test]
fn nothing_outside_its_volumes_is_reached() {
    let world = World::new();
    let guest = world.granted("hostile");
    for (attempt, kind) in [
        ("above", FailureKind::Invalid),
        ("absolute", FailureKind::Invalid),
        ("through-link", FailureKind::Denied),
        ("config", FailureKind::Denied),
        ("config-by-handle", FailureKind::Denied),
        ("config-by-rename", FailureKind::Denied),
        ("container", FailureKind::Denied),
        ("device", FailureKind::Invalid),
    ] {
        assert_eq!(failure(guest.create("op", attempt, None)), kind, "{attempt}");
    }
    let config = fs::read_to_string(world.top.path().join("pool/web/container.toml")).unwrap();
    assert_eq!(config, "untouched");
}

#[test]
fn a_file_is_granted_by_its_content_and_replaces_a_built_in_plugin() {
    let world = World::new();
    let plugins = Plugins::new(world.places());
    assert_eq!(world.open("storage-dir").unwrap().identity().version, "0.1.0");
    let shown = plugins.install(&plugin_file(world.top.path(), "storage-dir", None)).unwrap();
    assert!(shown.replaces_built_in && !shown.about.granted);

    let error = world.open("storage-dir").unwrap_err();
    assert_eq!(error.to_string(), "plugin storage-dir 6.6.6 is not granted: tree");
    assert!(error.hint().unwrap().ends_with("wxc plugin grant storage-dir tree"), "{:?}", error.hint());
    plugins.grant("storage-dir", &["tree".parse().unwrap()]).unwrap();
    assert_eq!(world.open("storage-dir").unwrap().identity().version, "6.6.6");

    // The same name with another content is another plugin.
    let file = world.places().installed.join("storage-dir.wasm");
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend([0, 2, 1, b'x']);
    fs::write(&file, bytes).unwrap();
    let error = world.open("storage-dir").unwrap_err();
    assert!(error.hint().unwrap().contains("has changed since"), "{:?}", error.hint());

    plugins.remove("storage-dir").unwrap();
    assert_eq!(world.open("storage-dir").unwrap().identity().version, "0.1.0");
}

#[test]
fn an_import_that_is_not_offered_is_named() {
    let world = World::new();
    let plugins = Plugins::new(world.places());
    let file = plugin_file(world.top.path(), "hostile", Some("rootfs"));
    // As one that was built for a wxc to come.
    let later = |bytes: &[u8]| {
        let (now, then) = (b"wxc:host/rootfs@0.1.0", b"wxc:host/rootfs@0.9.0");
        let mut bytes = bytes.to_vec();
        for at in 0..bytes.len() - now.len() {
            if bytes[at..].starts_with(now) {
                bytes[at..at + now.len()].copy_from_slice(then);
            }
        }
        bytes
    };
    std::fs::write(&file, later(&std::fs::read(&file).unwrap())).unwrap();
    plugins.install(&file).unwrap();
    assert_eq!(plugins.show("hostile").unwrap().not_offered, ["wxc:host/rootfs@0.9.0"]);
    plugins.grant("hostile", &[]).unwrap();
    let error = world.open("hostile").unwrap_err().to_string();
    assert!(error.contains("needs the interface wxc:host/rootfs@0.9.0"), "{error}");
}

#[test]
fn servers_are_asked_as_allowed_or_not_at_all() {
    let world = World::new();
    let plugins = Plugins::new(world.places());
    plugins.install(&plugin_file(world.top.path(), "hostile", Some("fetch"))).unwrap();
    let error = world.open("hostile").unwrap_err().to_string();
    assert!(error.contains("not granted: fetch"), "{error}");
    plugins.grant("hostile", &[]).unwrap();
    let guest = world.open("hostile").unwrap();
    for (attempt, kind) in [
        // Storage has no servers, whatever it imports.
        ("undeclared", FailureKind::Denied),
        ("another-host", FailureKind::Denied),
        ("two-headers", FailureKind::Invalid),
        ("no-digest", FailureKind::Invalid),
    ] {
        let error = guest.create("create-1", attempt, None).unwrap_err();
        assert_eq!(error.failure(), Some(kind), "{attempt}: {error}");
    }
}

#[test]
fn programs_of_the_host_are_run_as_declared_or_not_at_all() {
    let world = World::new();
    let plugins = Plugins::new(world.places());
    plugins.install(&plugin_file(world.top.path(), "hostile", Some("commands"))).unwrap();
    let error = world.open("hostile").unwrap_err().to_string();
    assert!(error.contains("not granted: command:environment: env, command:fails: ls"), "{error}");
    plugins.grant("hostile", &[]).unwrap();
    let guest = world.open("hostile").unwrap();
    for (attempt, kind) in [
        ("undeclared", FailureKind::Denied),
        ("option", FailureKind::Invalid),
        ("two-arguments", FailureKind::Invalid),
        ("unfilled", FailureKind::Invalid),
        ("another-placeholder", FailureKind::Invalid),
        ("wrong-type", FailureKind::Invalid),
        ("twice", FailureKind::Invalid),
        ("program-missing", FailureKind::Unsupported),
        ("program-fails", FailureKind::Failed),
        ("program-late", FailureKind::Exhausted),
        ("file-config", FailureKind::Denied),
        ("file-above", FailureKind::Invalid),
        ("file-fifo", FailureKind::Invalid),
        ("file-link", FailureKind::Invalid),
        ("file-home", FailureKind::Denied),
        ("loop-config", FailureKind::Denied),
        ("loop-find-config", FailureKind::Denied),
        ("loop-above", FailureKind::Invalid),
        ("loop-fifo", FailureKind::Invalid),
        ("loop-home", FailureKind::Denied),
    ] {
        assert_eq!(failure(guest.create("op", attempt, None)), kind, "{attempt}");
    }
    let told = |attempt: &str| guest.create("op", attempt, None).unwrap_err().to_string();
    assert!(told("program-fails").contains("ls failed with exit code 2: "), "{}", told("program-fails"));
    assert!(told("file").ends_with("privileged = true"), "{}", told("file"));
    assert!(
        told("environment").ends_with(": PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin;")
    );
}

#[test]
fn subvolumes_are_reached_as_files_are_and_only_with_a_grant() {
    let world = World::new();
    let plugins = Plugins::new(world.places());
    plugins.install(&plugin_file(world.top.path(), "hostile", Some("subvolumes"))).unwrap();
    plugins.grant("hostile", &["tree".parse().unwrap()]).unwrap();
    let error = world.open("hostile").unwrap_err();
    assert!(error.to_string().ends_with("is not granted: subvolumes"), "{error}");
    plugins.grant("hostile", &[]).unwrap();
    let guest = world.open("hostile").unwrap();
    for verb in ["make", "remove", "flag", "limit", "from", "to"] {
        for (place, kind) in [
            ("above", FailureKind::Invalid),
            ("absolute", FailureKind::Invalid),
            ("link", FailureKind::Denied),
            ("config", FailureKind::Denied),
            ("home", FailureKind::Denied),
        ] {
            let attempt = format!("{verb}-{place}");
            assert_eq!(failure(guest.create("op", &attempt, None)), kind, "{attempt}");
        }
    }
    for (attempt, kind) in [("list-above", FailureKind::Invalid), ("list-journal", FailureKind::Denied)] {
        assert_eq!(failure(guest.create("op", attempt, None)), kind, "{attempt}");
    }
    assert!(world.top.path().join("pool/web/container.toml").exists());
}

#[test]
fn whatever_is_wrong_with_compiled_code_is_a_miss() {
    let world = World::new();
    drop(world.granted("hostile"));
    let artifact = || fs::read_dir(world.places().cache).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(artifact()).unwrap();
    type Spoil<'a> = (&'a str, &'a dyn Fn(&Path));
    let spoil: [Spoil<'_>; 4] = [
        ("cut short", &|file| fs::write(file, &good[..good.len() / 2]).unwrap()),
        ("empty", &|file| fs::write(file, b"").unwrap()),
        ("missing", &|file| fs::remove_file(file).unwrap()),
        ("writable by others", &|file| {
            fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        }),
    ];
    for (what, spoil) in spoil {
        spoil(&artifact());
        let guest = world.open("hostile").unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(guest.create("op", "web", None).unwrap().id, "web", "{what}");
        assert_eq!(fs::read(artifact()).unwrap(), good, "{what}: compiled again");
    }
}

#[test]
fn a_guest_made_for_wasi_finds_an_empty_world() {
    const TRIPLE: &str = "wasm32-wasip2";
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TRIPLE]).output();
    let there = asked.is_ok_and(|o| Path::new(String::from_utf8_lossy(&o.stdout).trim()).exists());
    if !there {
        eprintln!("skipped: the target {TRIPLE} is not installed");
        return;
    }
    let world = World::new();
    let plugins = Plugins::new(world.places());
    let shown = plugins.install(&encode(world.top.path(), "wasi", &module(None, TRIPLE), false)).unwrap();
    let permissions: Vec<_> = shown.permissions.iter().map(|p| p.permission.to_string()).collect();
    assert_eq!((permissions, shown.not_offered), (vec!["tree".to_owned()], vec![]));
    plugins.grant("wasi", &[]).unwrap();
    let guest = world.open("wasi").unwrap();
    assert_eq!(guest.create("op", "web", None).unwrap().id, "web");
    // Its message goes through standard error into the log, and then it traps.
    assert!(matches!(guest.create("op", "panic", None), Err(PluginError::Trap { .. })));
    assert!(matches!(
        guest.create("op", "loop", None),
        Err(PluginError::Budget { limit: Limit::Time(_), .. })
    ));
}
