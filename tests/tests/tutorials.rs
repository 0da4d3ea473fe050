//! The pages about writing plugins: what they print is built, tried, and does what they say. (The page about storage is in
//! `conformance`, as the suite is what it leads to.)

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use wxc_tests::fixtures::Packed;
use wxc_tests::server::{Server, sha256};
use wxc_tests::{Env, Run, fixtures, guest, needs, root};

/// The plugin of a page, granted; the grant is taken back when this is dropped, because grants are the machine's.
pub(crate) struct Tutorial {
    pub(crate) env: Env,
    name: &'static str,
}

impl Tutorial {
    fn new(page: &str, name: &'static str, kind: &str) -> Self {
        Self::within(Env::new(), page, name, kind, &[])
    }

    /// In another world, with paths and names of its own in place of those that the page prints.
    pub(crate) fn within(
        env: Env,
        page: &str,
        name: &'static str,
        kind: &str,
        instead: &[(&str, &str)],
    ) -> Self {
        let source = env.file(name);
        guest::written_down(&root().join("docs").join(page), &source);
        for file in fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()) {
            if file.is_file() {
                let text = fs::read_to_string(&file).unwrap();
                fs::write(&file, instead.iter().fold(text, |text, (old, new)| text.replace(old, new)))
                    .unwrap();
            }
        }
        for package in ["host", kind] {
            let (from, to) = (root().join("wit").join(package), source.join("wit"));
            fs::create_dir_all(&to).unwrap();
            Run::host("cp", ["-r".as_ref(), from.as_os_str(), to.as_os_str()]).ok();
        }
        fs::copy(root().join("plugins/Cargo.lock"), source.join("Cargo.lock")).unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(&source)
            .env_remove("CARGO_BUILD_TARGET")
            .env("RUSTUP_TOOLCHAIN", guest::toolchain());
        cargo.args(["test", "--quiet", "--target-dir"]).arg(root().join("target/fixtures/plugins"));
        let out = Run::new(cargo).within(300).ok();
        assert!(out.contains("1 passed"), "{out}");
        let new = Self { env, name };
        let component = new.folder().join(name).with_extension("wasm");
        guest::built(&source, &name.replace('-', "_"), &source.join("plugin.toml"), &component);
        new.wxc(&["plugin", "grant", name]).ok();
        new
    }

    fn folder(&self) -> PathBuf {
        self.env.file("plugins")
    }

    /// A file of the page.
    pub(crate) fn printed(&self, file: &str) -> String {
        fs::read_to_string(self.env.file(self.name).join(file)).unwrap()
    }

    pub(crate) fn wxc(&self, words: &[&str]) -> Run {
        self.env.wxc(words).env("WXC_PLUGIN_DIR", self.folder())
    }
}

impl Drop for Tutorial {
    fn drop(&mut self) {
        let mut revoke = self.wxc(&["plugin", "revoke", self.name]).into_command();
        let _revoked = revoke.output();
    }
}

/// The first block of a page in this language.
fn block(page: &str, language: &str) -> String {
    let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let body = text.split_once(&format!("\n```{language}\n")).and_then(|(_, rest)| rest.split_once("\n```"));
    body.unwrap_or_else(|| panic!("{page} has no {language}")).0.to_owned()
}

#[test]
fn the_hook_of_the_page_limits_judges_counts_and_takes_back() {
    needs!(root, checkout, wasm_target, userns, busybox, cgroups);
    let page = Tutorial::new("writing-a-hook.md", "hook-memory", "hook");
    let env = &page.env;
    let shown = page.wxc(&["plugin", "show", "hook-memory"]).ok();
    assert!(shown.contains("set-limit") && shown.contains("store") && !shown.contains("fetch"), "{shown}");
    env.busybox("web", &[]);
    page.wxc(&["config", "set", "web", "hooks.memory.enabled", "true"]).ok();
    let plan = page.wxc(&["start", "web", "--plan"]).ok();
    assert!(plan.contains(&block("writing-a-hook.md", "text")), "{plan}");
    let starts = || {
        let kept = env.container("web").join(".plugin-state/hook-memory/starts");
        fs::read_to_string(kept).unwrap_or_default()
    };
    assert_eq!(starts(), "");
    page.wxc(&["start", "web"]).ok();
    assert_eq!(starts(), "1");
    let log = fs::read_to_string(env.container("web").join("hooks.log")).unwrap();
    assert!(log.contains("web starts for the 1. time"), "{log}");
    page.wxc(&["stop", "-k", "web"]).ok();

    page.wxc(&["start", "web", "-s", "init.command=[\"/no/such\"]"]).run();
    assert_eq!((starts().as_str(), env.state("web").as_str()), ("1", "STOPPED"));
    let said = page.wxc(&["start", "web", "-s", "cgroup.memory.max=8G"]).fails(1);
    assert!(said.contains("hook-memory") && said.contains("the most there is"), "{said}");
    let plan = page.wxc(&["start", "web", "--plan", "-s", "cgroup.memory.max=1G"]).ok();
    assert!(!plan.contains("set-limit"), "{plan}");
}

#[test]
fn the_template_of_the_page_lists_and_installs_what_a_server_has() {
    needs!(root, checkout, wasm_target, userns, busybox, cgroups);
    let page = Tutorial::new("writing-a-template.md", "template-shelf", "template");
    let env = &page.env;
    let server = Server::start(&env.file("home"));
    env.configure(&server.remote("local"));
    let archive = fs::read(fixtures::busybox_archive(Packed::Xz)).unwrap();
    let sums = format!("{}  busybox.tar.xz\n{}  broken.tar.xz\n", sha256(&archive), sha256(b"other"));
    server.put("/SHA256SUMS", sums);
    server.put("/busybox.tar.xz", archive.clone());
    server.put("/broken.tar.xz", archive);

    let shown = page.wxc(&["plugin", "show", "template-shelf"]).ok();
    assert!(shown.contains("reads SHA256SUMS"), "{shown}");
    let list = page.wxc(&["create", "-t", "shelf", "--json", "--", "--list", "--server", "local"]).ok();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().filter_map(|row| row["product"].as_str()).collect();
    assert_eq!(names, ["busybox", "broken"]);

    let create =
        |name, image| page.wxc(&["create", name, "-t", "shelf", "--", "--server", "local", "--image", image]);
    let said = create("web", "nosuch").fails(1);
    assert!(said.contains("it has: busybox, broken"), "{said}");
    create("bad", "broken").fails(1);
    assert!(!env.container("bad").exists());
    let made = create("web", "busybox").run();
    assert!(made.status.success() && made.stderr.contains("nobody can log in"), "{}", made.told());
    page.wxc(&["start", "web"]).ok();
    assert_eq!(env.inside("web", "cat /etc/hostname"), "web");
    page.wxc(&["stop", "-k", "web"]).ok();
    create("two", "busybox").ok();
    assert_eq!(server.seen("/busybox.tar.xz").len(), 1, "its digest is known, so it is not asked for again");
    // Asked again when there is a copy, without a server.
    server.remove("/SHA256SUMS");
    page.wxc(&["copy", "web", "copy"]).ok();
    let hostname = fs::read_to_string(env.container("copy").join("rootfs/etc/hostname")).unwrap();
    assert_eq!(hostname, "copy\n");
}

/// Blocks that are said to be of a file of the repository.
#[test]
fn what_the_pages_show_of_other_files_is_in_them() {
    needs!(checkout);
    for page in ["writing-a-hook.md", "writing-a-template.md"] {
        let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
        let shown: Vec<(&str, &str)> = text
            .split("\n```")
            .filter_map(|block| block.split_once('\n'))
            .filter_map(|(head, body)| Some((head.split_once(' ')?.1, body)))
            .filter(|(file, _)| file.starts_with("host/scaffold/"))
            .collect();
        assert!(!shown.is_empty(), "{page}");
        for (file, body) in shown {
            let source = fs::read_to_string(root().join(file)).unwrap();
            assert!(source.contains(body), "{page}: {file} has not:\n{body}");
        }
    }
}
