//! Real components in the real host, on a temporary pool.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{failure, places};

use wxc::plan::RootSource;
use wxc::plugin::storage::{Access, Phase};
use wxc::plugin::template::answers;
use wxc::plugin::template::types::{Assembly, Moment, Node, Request};
use wxc::plugin::{
    FailureKind, PluginError, Plugins, Quiet, SettingValues, Storage as _, StoragePlugin, Template as _,
};

fn storage(top: &Path, pool: &Path) -> Result<StoragePlugin, PluginError> {
    Plugins::new(places(top)).storage("storage-dir", pool, &SettingValues::new(), Arc::new(Quiet))
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

fn request(plugin: &impl wxc::plugin::Template, said: &[(&str, &str)]) -> Request {
    let said: Vec<_> = said.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let answers = answers(&plugin.options().unwrap(), &said).unwrap();
    Request { container: "web".into(), architecture: "x86_64".into(), privileged: false, answers }
}

#[test]
fn the_hosts_own_system_is_shown_and_furnished() {
    let top = tempfile::tempdir().unwrap();
    let plugins = Plugins::new(places(top.path()));
    let plugin = plugins.template("template-host", None, &SettingValues::new(), Arc::new(Quiet)).unwrap();
    let request = request(&plugin, &[]);
    let manifest = plugin.resolve(&request).unwrap();
    let Assembly::HostSystem(shown) = &manifest.assembly else { panic!("{manifest:?}") };
    assert!(shown.directories.contains(&"/usr".to_owned()));
    assert!(!shown.directories.contains(&"/etc".to_owned()));
    let kept = serde_json::to_string(&manifest).unwrap();
    let manifest = serde_json::from_str(&kept).unwrap();
    let finished = plugin.finish(Moment::Create, &request, &manifest, &[]).unwrap();
    let passwd = finished.files.iter().find(|f| f.path == "/etc/passwd").expect("accounts");
    assert!(matches!(&passwd.node, Node::File(text) if text.starts_with(b"root:")));
}

#[test]
fn a_local_archive_is_named_by_its_parameter_and_never_by_its_path() {
    let top = tempfile::tempdir().unwrap();
    let plugins = Plugins::new(places(top.path()));
    let plugin = plugins.template("template-local", None, &SettingValues::new(), Arc::new(Quiet)).unwrap();
    let manifest = plugin.resolve(&request(&plugin, &[("tarball", "root.tar.zst")])).unwrap();
    let Assembly::Archives(archives) = manifest.assembly else { panic!() };
    assert_eq!(archives.parts.len(), 1);
    let neither = plugin.resolve(&request(&plugin, &[]));
    assert_eq!(failure(neither), FailureKind::Invalid);
}

#[test]
fn a_plugin_is_asked_only_for_what_it_is() {
    let top = tempfile::tempdir().unwrap();
    let plugins = Plugins::new(places(top.path()));
    let error = plugins.template("storage-dir", None, &SettingValues::new(), Arc::new(Quiet)).unwrap_err();
    assert_eq!(error.to_string(), "plugin storage-dir is a storage plugin, not a template plugin");
    let error =
        plugins.storage("storage-none", top.path(), &SettingValues::new(), Arc::new(Quiet)).unwrap_err();
    assert!(error.hint().unwrap().starts_with("there are: storage-btrfs, storage-dir"), "{:?}", error.hint());
    let settings = [("colour".to_owned(), "red".to_owned())].into();
    let error = plugins.storage("storage-dir", top.path(), &settings, Arc::new(Quiet)).unwrap_err();
    assert!(error.to_string().contains("no setting \"colour\""), "{error}");
}

#[test]
fn an_administrator_sees_what_a_built_in_plugin_can_touch() {
    let top = tempfile::tempdir().unwrap();
    let plugins = Plugins::new(places(top.path()));
    let names: Vec<_> = plugins.list().into_iter().map(|p| (p.name, p.about.unwrap().granted)).collect();
    for name in [
        "storage-btrfs",
        "storage-dir",
        "storage-loop",
        "storage-overlay",
        "template-busybox",
        "template-debian",
        "template-download",
        "template-host",
        "template-local",
        "template-oci",
    ] {
        assert!(names.contains(&(name.to_owned(), true)), "{name}: {names:?}");
    }
    let shown = plugins.show("storage-dir").unwrap();
    // Volumes, and sizes.
    assert_eq!(shown.abilities.len(), 2);
    let permissions: Vec<_> =
        shown.permissions.iter().map(|p| (p.permission.to_string(), p.granted)).collect();
    assert_eq!(permissions, [("tree".to_owned(), true)]);
    assert!(shown.permissions[0].reason.is_some());
    assert!(matches!(plugins.remove("storage-dir"), Err(PluginError::NotInstalled(_))));
}
