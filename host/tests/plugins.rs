//! Real components in the real host, from a temporary pool.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use wxc::plan::RootSource;
use wxc::plugin::storage::{Access, Phase};
use wxc::plugin::{
    FailureKind, Places, PluginError, Plugins, Quiet, SettingValues, Storage as _, StoragePlugin,
};

/// Places in a directory of the test's own: nothing of this machine is looked at.
fn places(top: &Path) -> Places {
    let compiler = Path::new(env!("CARGO_BIN_EXE_wxc")).with_file_name("wxc-compile");
    Places {
        given: None,
        installed: top.join("installed"),
        system: top.join("system"),
        cache: top.join("cache"),
        grants: top.join("grants.toml"),
        compiler: Some(compiler),
    }
}

fn storage(top: &Path, pool: &Path) -> Result<StoragePlugin, PluginError> {
    Plugins::new(places(top)).storage("storage-dir", pool, &SettingValues::new(), Arc::new(Quiet))
}

fn failure(result: Result<impl std::fmt::Debug, PluginError>) -> FailureKind {
    let error = result.expect_err("must fail");
    error.failure().unwrap_or_else(|| panic!("{error}"))
}

#[test]
fn a_volume_lives_and_dies_in_the_built_in_backend() {
    let (top, pool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let storage = storage(top.path(), pool.path()).unwrap();
    assert!(storage.open().unwrap().total > 0);
    assert_eq!(storage.scan(None, 10).unwrap(), []);

    fs::create_dir(pool.path().join("web")).unwrap();
    fs::write(pool.path().join("web/container.toml"), "secret").unwrap();
    let made = storage.create("op-1", "web", None).unwrap();
    assert_eq!((made.id.as_str(), made.phase), ("web", Phase::Writable));
    assert_eq!(storage.create("op-1", "web", None).unwrap(), made, "repeating converges");
    assert_eq!(failure(storage.create("op-2", "web", None)), FailureKind::AlreadyExists);
    assert_eq!(storage.scan(None, 10).unwrap(), [made]);

    fs::write(pool.path().join("web/rootfs/file"), vec![1; 10_000]).unwrap();
    assert!(storage.usage("web").unwrap().referenced.unwrap() >= 10_000);
    let plan = storage.mounts("web", Access::ReadWrite).unwrap();
    let root = RootSource::Tree { pool: pool.path().to_owned(), relative: "web/rootfs".into() };
    assert_eq!((plan.mounts.len(), plan.root()), (1, Ok(root)));

    assert_eq!(storage.seal("op-3", "web").unwrap().phase, Phase::Sealed);
    assert_eq!(failure(storage.mounts("web", Access::ReadWrite)), FailureKind::Invalid);
    storage.remove("op-4", "web").unwrap();
    storage.remove("op-4", "web").unwrap();
    assert_eq!(storage.scan(None, 10).unwrap(), []);
    let left: Vec<_> =
        fs::read_dir(pool.path().join("web")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["container.toml"]);
}

#[test]
fn names_are_refused_before_the_plugin_sees_them() {
    let (top, pool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let storage = storage(top.path(), pool.path()).unwrap();
    for id in ["../x", "", ".images", "a/b", "web@"] {
        assert_eq!(failure(storage.create("op", id, None)), FailureKind::Invalid, "{id}");
    }
    assert_eq!(failure(storage.remove("OP/..", "web")), FailureKind::Invalid);
}
