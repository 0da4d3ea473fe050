//! A stranger's plugin: the storage of `examples/storage-reflink`, written in C against the documents alone, copied
//! out of the repository and built there with the tools that C has.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wxc_tests::mount::Mount;
use wxc_tests::{Env, Run, fixtures, guest, needs, root};

const EXAMPLE: &str = "examples/storage-reflink";

/// A directory with what `make` needs and nothing of the repository around it. The name is one that nobody else has,
/// because plugins are installed for the machine.
fn copied(to: &Path, name: &str) {
    Run::host("cp", ["-r".as_ref(), root().join(EXAMPLE).as_os_str(), to.as_os_str()]).ok();
    let manifest = to.join("plugin.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("\"storage-reflink\""), "{text}");
    fs::write(manifest, text.replace("\"storage-reflink\"", &format!("\"{name}\""))).unwrap();
}

fn made(source: &Path) -> PathBuf {
    guest::make(source).ok();
    source.join("build/storage-reflink.wasm")
}

/// Built once: under the name it has.
fn component() -> &'static Path {
    static BUILT: OnceLock<(Env, PathBuf)> = OnceLock::new();
    let (_, component) = BUILT.get_or_init(|| {
        let env = Env::new();
        let source = env.file("stranger");
        copied(&source, "storage-reflink");
        let component = made(&source);
        (env, component)
    });
    component
}

#[test]
fn a_backend_in_c_passes() {
    needs!(root, checkout, c_guests);
    let env = Env::new();
    let plugin = component().to_str().unwrap();
    // In memory: hundreds of crashes, each of which waits for the disk many times.
    let _pools = Mount::new(&env.file("pools"), "size=1G,mode=755");
    let out = env.wxc(["plugin", "test", plugin, "--pool", "pools"]).within(600).ok();
    assert!(out.contains("passed   clone-independent") && out.contains("passed   cut-restore"), "{out}");
    // What it does not export, and what memory cannot show, and nothing else.
    let reasons = [
        "does not export `sizes`",
        "does not export `snapshots-at-rest`",
        "does not tell what is on the disk",
    ];
    for line in out.lines().filter(|line| line.starts_with("skipped")) {
        assert!(reasons.iter().any(|reason| line.contains(reason)), "{line}");
    }
    assert!(out.contains(" 0 failed"), "{out}");
}

#[test]
fn it_shares_blocks_where_the_file_system_can_and_refuses_to_copy_when_told() {
    needs!(root, checkout, c_guests, mkfs_xfs);
    let env = Env::new();
    let plugin = component().to_str().unwrap();
    let _memory = Mount::new(&env.file("memory"), "size=64M,mode=755");
    let _disk = Mount::disk(&env.file("disk"), "xfs", 1 << 30);
    let open =
        |pool| env.wxc(["plugin", "test", plugin, "--case", "open", "-s", "copies=shared", "--pool", pool]);
    open("disk").ok();
    let said = open("memory").run();
    assert_eq!(said.code(), 1, "{}", said.told());
    assert!(said.stdout.contains("cannot share blocks"), "{}", said.told());
}

#[test]
fn what_the_page_shows_of_it_is_in_it() {
    needs!(checkout);
    let page = fs::read_to_string(root().join("docs/writing-a-storage-plugin.md")).unwrap();
    let shown: Vec<(&str, &str)> = page
        .split("\n```")
        .filter_map(|block| block.split_once('\n'))
        .filter_map(|(head, body)| Some((head.split_once(' ')?.1, body)))
        .filter(|(file, _)| file.starts_with(EXAMPLE))
        .collect();
    assert!(shown.len() >= 3, "{shown:?}");
    for (file, body) in shown {
        let source = fs::read_to_string(root().join(file)).unwrap();
        assert!(source.contains(body), "{file} has not:\n{body}");
    }
    // The generator that the page names is the one that is tested.
    let tools = fs::read_to_string(root().join("xtask/src/tools.rs")).unwrap();
    let named =
        page.split("wit-bindgen-cli --version ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(tools.contains(&format!("version: \"{named}\"")), "{named}");
}

/// What the guest of `tests/homesick` does with its C library, and what it gets.
const HOMESICK: &[(&str, &str)] = &[
    ("print", "volumes.open: printed"),
    ("environment", "variables: 0, HOME: not set"),
    ("files", "files found: 0"),
    ("input", "first character: -1"),
    ("clock", "clocks: run"),
    ("random", "random: yes"),
    ("exit", "it exited (with success) in the middle of a call"),
    ("leave", "it exited (with failure) in the middle of a call"),
    ("abort", "storage-homesick 0.1.0 crashed in volumes.open"),
];

#[test]
fn a_guest_with_a_c_library_gets_nothing_of_the_machine() {
    needs!(root, checkout, c_guests);
    let env = Env::new();
    let source = env.file("homesick");
    let ours = root().join("tests/homesick");
    Run::host("cp", ["-r".as_ref(), ours.as_os_str(), source.as_os_str()]).ok();
    Run::host(
        "cp",
        ["-r".as_ref(), root().join(EXAMPLE).join("wit/deps").as_os_str(), source.join("wit").as_os_str()],
    )
    .ok();
    fs::copy(root().join(EXAMPLE).join("Makefile"), source.join("Makefile")).unwrap();
    let component = made(&source);
    let shown = env.wxc(["plugin", "show", component.to_str().unwrap()]).ok();
    assert!(shown.contains("nothing: it computes answers"), "{shown}");
    for (does, got) in HOMESICK {
        let set = format!("does={does}");
        let test = ["-v", "plugin", "test", component.to_str().unwrap(), "--case", "open", "-s", &set];
        let output = env.wxc(test).input("some input\n").run();
        assert_eq!(output.code(), 1, "{does}: {}", output.told());
        assert!(output.stdout.contains(got), "{does}: {}", output.told());
        if *does == "print" {
            let log = &output.stderr;
            assert!(
                log.contains("to standard output, number 1") && log.contains("to standard error"),
                "{log}"
            );
            // Its escape sequences reach no terminal.
            assert!(log.contains("\\u{1b}[31mred") && !log.contains('\x1b'), "{log}");
        }
    }
}

/// An installed plugin, which is gone when this is dropped.
struct Installed<'a>(&'a Env, String);

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        let mut remove = self.0.wxc(["plugin", "remove", "--force", &self.1]).into_command();
        let _removed = remove.output();
    }
}

#[test]
fn a_backend_in_c_is_installed_granted_and_holds_containers() {
    needs!(root, checkout, c_guests, userns, busybox, cgroups);
    let env = Env::new();
    let word = format!("reflink-t{}", std::process::id());
    let name = format!("storage-{word}");
    let source = env.file("stranger");
    copied(&source, &name);
    let file = made(&source);

    let shown = env.wxc(["plugin", "show", file.to_str().unwrap()]).ok();
    for words in ["take and restore snapshots", "tree: make, read", "NOT granted", "makes, copies, lists"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let installed = Installed(&env, name.clone());
    // Told in messages, which go to standard error.
    let said = env.wxc(["plugin", "install", file.to_str().unwrap()]).run();
    assert!(
        said.status.success() && said.told().contains(&format!("wxc plugin grant {name}")),
        "{}",
        said.told()
    );
    let tree = fixtures::busybox().to_str().unwrap();
    let create = ["create", "web", "-B", &word, "-t", "local", "--", "--directory", tree];
    let said = env.wxc(create).fails(1);
    assert!(said.contains(&format!("wxc plugin grant {name}")), "{said}");
    assert!(!env.container("web").exists());
    env.wxc(["plugin", "grant", &name]).ok();
    env.wxc(create).ok();

    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "echo one > /etc/word; hostname"), "web");
    env.wxc(["snapshot", "web", "before"]).ok();
    assert_eq!(env.inside("web", "echo two > /etc/word; cat /etc/word"), "two");
    env.wxc(["stop", "web"]).ok();
    env.wxc(["copy", "-s", "web", "clone"]).ok();
    env.wxc(["snapshot", "web", "-r", "before"]).ok();
    for (container, word) in [("web", "one"), ("clone", "two")] {
        env.wxc(["start", container]).ok();
        assert_eq!(env.inside(container, "hostname; cat /etc/word"), format!("{container}\n{word}"));
        env.wxc(["stop", container]).ok();
    }
    // Its files where the backend put them, and its copies finished.
    assert!(env.container("web").join("snaps/before/rootfs/etc/word").exists());
    assert!(!env.container("web").join("rootfs.new").exists());

    let said = env.wxc(["plugin", "remove", &name]).fails(1);
    assert!(said.contains("clone, web") && said.contains("--force"), "{said}");
    env.wxc(["destroy", "clone"]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
    assert!(!env.container("web").exists() && !env.container("clone").exists());
    env.wxc(["plugin", "remove", &name]).ok();
    let said = env.wxc(create).fails(1);
    assert!(said.contains(&name), "{said}");
    drop(installed);
}

#[test]
fn what_is_packed_is_a_plugin_or_nothing_is_written() {
    needs!(root, checkout, c_guests);
    let env = Env::new();
    let component = component();
    let folder = component.parent().unwrap();
    let manifest = folder.join("../plugin.toml");
    let pack = |built: &Path, manifest: &Path, output: &str| {
        let words = ["plugin".as_ref(), "pack".as_ref(), built.as_os_str(), "--manifest".as_ref()];
        env.wxc(words.into_iter().chain([manifest.as_os_str(), "--output".as_ref(), output.as_ref()]))
    };
    // A component without a manifest, as other tools make it: the section is the last one.
    let whole = fs::read(component).unwrap();
    let text = fs::read(&manifest).unwrap();
    assert!(whole.ends_with(&text));
    let header = b"wxc:manifest".len() + 4;
    fs::write(env.file("bare.wasm"), &whole[..whole.len() - text.len() - header]).unwrap();
    let said = env.wxc(["plugin", "show", "./bare.wasm"]).fails(1);
    assert!(said.contains("no manifest"), "{said}");
    pack(&env.file("bare.wasm"), &manifest, "again.wasm").ok();
    assert!(fs::read(env.file("again.wasm")).unwrap() == whole);
    // What is packed already stays what it is.
    pack(component, &manifest, "same.wasm").ok();
    assert!(fs::read(env.file("same.wasm")).unwrap() == whole);

    let wrong = [
        ("kind = \"storage\"", "kind = \"hook\"", "pool"),
        ("name = \"storage-reflink\"", "name = \"Reflink\"", "name"),
        ("api = \"0.1\"", "api = \"0.1\"\ncolour = \"red\"", "colour"),
    ];
    for (old, new, words) in wrong {
        let changed = String::from_utf8_lossy(&text).replace(old, new);
        fs::write(env.file("changed.toml"), changed).unwrap();
        let said = pack(&folder.join("module.wasm"), &env.file("changed.toml"), "wrong.wasm").fails(1);
        assert!(said.contains(words), "{said}");
        assert!(!env.file("wrong.wasm").exists());
    }
    let said = pack(&folder.join("plugin.c"), &manifest, "wrong.wasm").fails(1);
    assert!(said.contains("plugin.c") && said.contains("neither"), "{said}");
    fs::write(env.file("empty.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let said = pack(&env.file("empty.wasm"), &manifest, "wrong.wasm").fails(1);
    assert!(said.contains("wxc:storage/volumes"), "{said}");
    assert!(!env.file("wrong.wasm").exists());
}
