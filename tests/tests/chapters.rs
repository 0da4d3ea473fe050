//! Chapters that print commands, scripts and a plugin: those are run, in their order.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use wxc_tests::keys::Keys;
use wxc_tests::server::sha256;
use wxc_tests::{Env, Run, guest, needs, root};

use crate::network::{Machine, veth};
use crate::plugin_life::{Life, served};
use crate::tutorials::Tutorial;

/// The blocks of a page in this language that belong to no file.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let head = format!("{language}\n");
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&head).map(str::to_owned)).collect()
}

#[test]
fn the_first_steps_can_be_taken() {
    needs!(root, checkout, userns, busybox, cgroups);
    let env = Env::new();
    let steps = blocks("first-steps.md", "sh");
    assert!(steps.len() >= 7, "{steps:?}");
    let wxc = wxc_tests::env::wxc();
    let mut said = String::new();
    for step in &steps {
        // A hook's settings are what a plan shows, so what is printed is looked at below.
        let script = format!("wxc() {{ '{}' \"$@\"; }}\nset -eux\n{step}", wxc.display());
        let mut shell = Command::new("/bin/sh");
        env.fix(&mut shell);
        shell.env("WXC_PATH", env.path()).args(["-c", &script]);
        let output = Run::new(shell).within(120).run();
        assert!(output.status.success(), "{step}: {}", output.told());
        said += &output.stdout;
    }
    // The throw-away container's root, the table, the note that came back, the hook's change.
    for part in ["0\n", "RUNNING", "hello\n", "set-variable GREETING=hello", "propose and judge changes"] {
        assert!(said.contains(part), "there is no {part:?} in {said}");
    }
    assert!(!env.container("web").exists() && !env.container("web2").exists());
}

/// A script of a page, made executable in a directory.
fn script(page: &str, name: &str, folder: &Path) -> PathBuf {
    let written = folder.join(format!("of-{page}"));
    guest::written_down(&root().join("docs").join(page), &written);
    let script = written.join(name);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[test]
fn a_release_of_the_page_is_installed_and_upgraded_as_it_says() {
    needs!(root, checkout, wasm_target);
    let life = Life::new("release");
    let server = served(&life);
    let keys = Keys::new();
    // A key that is in the ring and signs nothing is not published.
    keys.add();
    let publish = script("publishing.md", "release.sh", &life.env.file(""));
    let site = life.env.file("site");
    fs::create_dir(&site).unwrap();
    let release = |version: &str| {
        let file = life.env.file(&format!("{}.wasm", life.name));
        fs::copy(life.version(version, &[]), &file).unwrap();
        let words = [file.as_os_str(), version.as_ref(), site.as_os_str()];
        Run::host(publish.to_str().unwrap(), words).env("GNUPGHOME", keys.home())
    };
    let serve = || {
        for entry in ["", "1.0.0/", "1.1.0/"] {
            for ending in ["wasm", "wasm.asc"] {
                let name = format!("{entry}{}.{ending}", life.name);
                if let Ok(bytes) = fs::read(site.join(&name)) {
                    server.put(&format!("/{name}"), bytes);
                }
            }
        }
    };
    release("1.0.0").ok();
    serve();
    let again = release("1.0.0").run();
    assert!(!again.status.success(), "a version is made once: {}", again.told());

    let url = format!("{}/{}.wasm", server.url(), life.name);
    let (signature, key) = (format!("{url}.asc"), site.join("keys.asc"));
    let key = key.to_str().unwrap();
    let packets = Run::host("gpg", ["--batch", "--with-colons", "--show-keys", key]).ok();
    assert_eq!(packets.lines().filter(|line| line.starts_with("pub:")).count(), 1, "{packets}");
    life.plugin(&["install", &url, "--signature", &signature, "--key", key, "--grant"]).ok();
    assert_eq!(life.shown()["source"]["vouched"]["signature"]["signer"], keys.fingerprint.as_str());
    release("1.1.0").ok();
    serve();
    life.plugin(&["upgrade", &life.name]).ok();
    let shown = life.shown();
    assert_eq!((shown["version"].as_str(), shown["granted"].as_bool()), (Some("1.1.0"), Some(true)));
    life.plugin(&["upgrade", "--back", &life.name]).ok();
    assert_eq!(life.shown()["version"], "1.0.0");

    // By the digest in its list, of the version's own address.
    let list = fs::read_to_string(site.join("1.1.0/SHA256SUMS")).unwrap();
    let digest = list.split(' ').next().unwrap();
    assert_eq!(digest, sha256(&fs::read(site.join(format!("1.1.0/{}.wasm", life.name))).unwrap()));
    let url = format!("{}/1.1.0/{}.wasm", server.url(), life.name);
    life.plugin(&["install", &url, "--digest", &format!("sha256:{digest}")]).ok();
    assert_eq!(life.shown()["version"], "1.1.0");
}

#[test]
fn what_an_ssh_key_signed_as_the_page_says_is_installed() {
    needs!(root, checkout, wasm_target, ssh_keygen);
    let life = Life::new("ssh");
    let file = life.version("1.0.0", &[]);
    let (key, file) = (life.env.file("key"), file.to_str().unwrap());
    Run::host("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]).ok();
    let sign = script("publishing.md", "release-ssh.sh", &life.env.file(""));
    Run::host(sign.to_str().unwrap(), [file, key.to_str().unwrap()]).ok();
    let public = key.with_extension("pub");
    let install = ["install", file, "--signature", &format!("{file}.sig"), "--key", public.to_str().unwrap()];
    life.plugin(&install).ok();
    assert!(life.shown()["source"]["vouched"]["signature"]["signer"].is_string());
    fs::write(file, [fs::read(file).unwrap(), b"x".to_vec()].concat()).unwrap();
    let said = life.plugin(&install).fails(1);
    assert!(said.contains("does not hold"), "{said}");
}

/// The house of the page, with a directory, a program and a hosts file of the test's own.
struct House {
    page: Tutorial,
    program: PathBuf,
    shared: PathBuf,
    names: PathBuf,
}

impl Drop for House {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.program);
    }
}

impl House {
    fn new(env: Env) -> Self {
        let (shared, names) = (env.file("shared"), env.file("names"));
        // Programs of commands are looked for where an administrator puts them.
        let word = format!("container-names-{}", std::process::id());
        let program = Path::new("/usr/local/sbin").join(&word);
        let (host, file) = (format!("\"{}\"", shared.display()), names.display().to_string());
        let instead = [
            // As a path of the machine; inside it stays what it is.
            ("source = \"/srv/shared\"", format!("source = {host}")),
            ("shared = \"/srv/shared\"", format!("shared = {host}")),
            ("\"users\", \"/srv/shared\"", format!("\"users\", {host}")),
            ("users /srv/shared", format!("users {}", shared.display())),
            ("/etc/hosts.containers", file),
            ("container-names", word),
        ];
        let instead: Vec<(&str, &str)> = instead.iter().map(|(old, new)| (*old, new.as_str())).collect();
        let page = Tutorial::within(env, "from-lxc-hooks.md", "hook-house", "hook", &instead);
        // By its new name inside, which is no file's.
        fs::write(&program, page.printed("container-names")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { page, program, shared, names }
    }

    /// A container with these lines in its configuration.
    fn container(&self, name: &str, address: &str, lines: &[&str]) {
        self.page.env.busybox(name, &["-s", &veth(address)]);
        let file = self.page.env.container(name).join("container.toml");
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<String> = lines.iter().map(|block| self.page.printed(block)).collect();
        fs::write(&file, text + "\n" + &lines.join("\n")).unwrap();
    }

    fn names(&self) -> String {
        fs::read_to_string(&self.names).unwrap_or_default()
    }

    /// What the hooks of the page promise of a container that runs.
    fn holds(&self, name: &str, address: &str) {
        let page = &self.page;
        page.wxc(&["start", name]).ok();
        let meta = fs::metadata(&self.shared).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.gid()), (0o2775, 100));
        let seen = page
            .env
            .inside(name, "touch /srv/shared/from-inside; stat -c '%u %a' /srv/shared; ls -l /dev/net/tun");
        // Root's on both sides.
        assert!(seen.starts_with("0 2775"), "{seen}");
        assert!(seen.contains("10, 200"), "{seen}");
        assert_eq!(fs::metadata(self.shared.join("from-inside")).unwrap().uid(), 0);
        fs::remove_file(self.shared.join("from-inside")).unwrap();
        assert_eq!(self.names(), format!("{address} {name}\n"));
        page.wxc(&["stop", "-k", name]).ok();
        wxc_tests::until("its name is gone", 20, || self.names().is_empty().then_some(()));
    }
}

#[test]
fn three_hooks_of_lxc_do_the_same_as_lines_and_as_a_plugin() {
    needs!(root, checkout, wasm_target, userns, busybox, cgroups, netns, bridges);
    if !Path::new("/dev/net/tun").exists() {
        wxc_tests::needs::skip("there is no /dev/net/tun");
        return;
    }
    let machine = Machine::new("house");
    let house = House::new(Env::in_network(machine.path()));
    let page = &house.page;
    let allow = "[hooks.exec]\nenabled = true\n";
    page.env.configure(&format!("{allow}\n{}", page.printed("wxc.toml")));

    // One at a time, as the page prints them, and then the plugin.
    let lines = ["the-directory.toml", "the-device.toml", "the-name.toml"];
    let merged = lines.map(|file| page.printed(file));
    let (first, rest) = merged.split_first().unwrap();
    let both: Vec<String> = rest.iter().map(|text| text.replace("[hooks.exec]\nversion = 1\n", "")).collect();
    let (exec, mounts) = first.split_once("\n\n").unwrap();
    let all = format!("{exec}\n{}\n{mounts}\n", both.join("\n"));
    fs::write(page.env.file("hook-house").join("all.toml"), all).unwrap();
    house.container("lines", "10.77.0.5", &["all.toml"]);
    house.holds("lines", "10.77.0.5");

    let shown = page.wxc(&["plugin", "show", "hook-house"]).ok();
    for part in
        ["install -d -m 2775 -g users", "{address}", "share:shared: read and write", "change-device:net/tun"]
    {
        assert!(shown.contains(part), "{shown}");
    }
    page.env.configure(&page.printed("wxc.toml"));
    house.container("plugin", "10.77.0.6", &[]);
    page.wxc(&["config", "set", "plugin", "hooks.house.enabled", "true"]).ok();
    fs::set_permissions(&house.shared, fs::Permissions::from_mode(0o700)).unwrap();
    house.holds("plugin", "10.77.0.6");
    // A start that fails after its name was entered.
    page.wxc(&["start", "plugin", "-s", "init.command=[\"/no/such\"]"]).run();
    assert_eq!(house.names(), "");
}
