//! A Debian of a mirror's packages: what is signed, what is needed, and that it boots; and mirrors that lie.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wxc_tests::keys::Keys;
use wxc_tests::server::{Server, sha256};
use wxc_tests::{Env, fixtures, needs};

/// Waits until systemd says what became of the start.
fn boots(env: &Env, name: &str) {
    env.wxc(["start", name]).ok();
    let begun = Instant::now();
    loop {
        let said = env.wxc(["attach", name, "--", "systemctl", "is-system-running"]).run().stdout;
        match said.trim() {
            "running" => return,
            _ if begun.elapsed() < Duration::from_secs(60) => std::thread::sleep(Duration::from_millis(200)),
            other => panic!(
                "{name} is {other:?}: {}",
                env.wxc(["attach", name, "--", "systemctl", "--failed", "--no-legend"]).run().stdout
            ),
        }
    }
}

fn words<'a>(name: &'a str, storage: &'a str, mirror: &'a str, release: &'a str) -> Vec<&'a str> {
    vec!["create", name, "-B", storage, "-t", "debian", "--", "--mirror", mirror, "-r", release]
}

#[test]
fn the_current_release_is_made_and_boots_and_the_next_one_is_a_clone() {
    needs!(root, userns, cgroups, mirror);
    let env = Env::new();
    let mirror = fixtures::mirror().unwrap();
    let mut first = words("one", "overlay", &mirror, "trixie");
    first.extend(["--include", "less,nano"]);
    let made = env.wxc(first.clone()).run();
    assert!(made.status.success(), "{}", made.told());
    boots(&env, "one");
    // Every package is set up, dpkg has nothing to complain of, and nothing of the making is left.
    let odd = env.inside(
        "one",
        "dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n' | grep -v '^ii ' ; dpkg --audit; true",
    );
    assert_eq!(odd, "");
    assert_eq!(env.inside("one", "ls -d /packages /usr/sbin/policy-rc.d 2>/dev/null; true"), "");
    assert_eq!(env.inside("one", "dpkg-query -W -f '${Package} ' less nano"), "less nano");
    let sources = env.inside("one", "cat /etc/apt/sources.list");
    assert!(sources.contains(" trixie main") && sources.contains(" trixie-updates main"), "{sources}");
    assert_eq!(
        env.inside("one", "cat /etc/hostname; stat -c %a /usr/bin/passwd; readlink /bin"),
        "one\n4755\nusr/bin"
    );
    let config = fs::read_to_string(env.container("one").join("container.toml")).unwrap();
    assert!(config.contains("signer = ") && config.contains("debian/trixie/"), "{config}");
    // How long the release may be believed is not how long the image is good for.
    let images = env.wxc(["image", "list", "--json"]).ok();
    let images: serde_json::Value = serde_json::from_str(&images).unwrap();
    assert!(images[0]["expires"].is_null(), "{images}");
    let mut second = first;
    second[1] = "two";
    let made = env.wxc(second).run();
    assert!(made.status.success() && !made.stderr.contains("installing"), "{}", made.told());
    boots(&env, "two");
    let id = |name: &str| env.inside(name, "cat /etc/machine-id");
    assert_ne!(id("one"), id("two"));
    // Nothing of the containers in which dpkg ran.
    let left: Vec<String> = env.wxc(["ls", "-1"]).ok().lines().map(str::to_owned).collect();
    assert_eq!(left, ["one", "two"]);
}

#[test]
fn the_release_before_boots_on_a_directory() {
    needs!(root, userns, cgroups, mirror);
    let env = Env::new();
    env.wxc(words("old", "dir", &fixtures::mirror().unwrap(), "bookworm")).ok();
    boots(&env, "old");
    assert_eq!(env.inside("old", ". /etc/os-release; echo $VERSION_CODENAME"), "bookworm");
}

#[test]
fn what_the_archive_does_not_have_is_named() {
    needs!(root, mirror);
    let env = Env::new();
    let mirror = fixtures::mirror().unwrap();
    let refused = env.wxc(words("x", "dir", &mirror, "no-such")).fails(1);
    assert!(refused.contains("has no release \"no-such\""), "{refused}");
    let refused = env.wxc([&words("x", "dir", &mirror, "trixie")[..], &["-i", "no-such"]].concat()).fails(1);
    assert!(refused.contains("there is no package \"no-such\", for --include"), "{refused}");
    let refused = env.wxc([&words("x", "dir", &mirror, "trixie")[..], &["-a", "z80"]].concat()).fails(1);
    assert!(refused.contains("has no main/binary-z80/Packages.gz"), "{refused}");
}

/// A mirror of a test's own, with packages that are none.
struct Mirror {
    server: Server,
    keys: Keys,
    packages: String,
    release: String,
}

impl Mirror {
    fn new(env: &Env) -> Self {
        let server = Server::start(&env.file("home"));
        let (packages, release) = (String::new(), String::new());
        let mut mirror = Self { server, keys: Keys::new(), packages, release };
        env.configure(&format!("{}keyring = {:?}\n", mirror.server.remote("local"), mirror.keys.file()));
        for name in ["base-files", "systemd-sysv", "dbus", "iproute2", "apt"] {
            mirror.package(name, format!("{name} is none").as_bytes());
        }
        mirror
    }

    fn package(&mut self, name: &str, bytes: &[u8]) {
        self.version(name, "1", bytes);
    }

    fn version(&mut self, name: &str, version: &str, bytes: &[u8]) {
        let path = format!("pool/{name}_{version}_amd64.deb");
        self.server.put(&format!("/{path}"), bytes.to_vec());
        let essential = if name == "base-files" { "Essential: yes\n" } else { "" };
        self.packages += &format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\n{essential}Filename: {path}\nSize: {}\nSHA256: {}\n\n",
            bytes.len(),
            sha256(bytes)
        );
    }

    /// Puts list and release there.
    fn publish(&mut self, codename: &str) {
        self.publish_with(codename, "");
    }

    /// The same with more lines in the release.
    fn publish_with(&mut self, codename: &str, more: &str) {
        self.publish_at("/dists/testing", codename, more);
    }

    /// The packages that there are now, as a release at some place.
    fn publish_at(&mut self, place: &str, codename: &str, more: &str) {
        let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        gzip.stdin.take().unwrap().write_all(self.packages.as_bytes()).unwrap();
        let list = gzip.wait_with_output().unwrap().stdout;
        let machine = wxc_tests::oci::machine();
        let path = format!("main/binary-{machine}/Packages.gz");
        self.release = format!(
            "Origin: Test\nSuite: {codename}\nCodename: {codename}\nDate: Sat, 09 Aug 2025 10:03:24 UTC\n{more}SHA256:\n {} {} {path}\n",
            sha256(&list),
            list.len()
        );
        self.server.put(&format!("{place}/{path}"), list);
        self.server.put(&format!("{place}/InRelease"), self.keys.clear(self.release.as_bytes()));
    }

    fn refuses(&self, env: &Env) -> String {
        let said = env
            .wxc(["create", "x", "-B", "dir", "-t", "debian", "--", "-m", "local", "-r", "testing"])
            .fails(1);
        assert!(!env.container("x").exists());
        assert_eq!(env.wxc(["ls", "-1"]).ok(), "");
        forget(env);
        said
    }
}

/// What was fetched a moment ago is fetched again, and what was found out of it, too.
fn forget(env: &Env) {
    for kept in [".downloads", ".plugin-state"] {
        let _gone = fs::remove_dir_all(env.container("x").with_file_name(kept));
    }
}

#[test]
fn a_mirror_that_lies_is_refused_and_leaves_nothing() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let mut mirror = Mirror::new(&env);
    mirror.publish("testing");
    // All of it holds, and the packages are none.
    let said = mirror.refuses(&env);
    assert!(said.contains("base-files_1_amd64.deb"), "{said}");
    // Nobody has signed it; somebody else has; it was changed.
    let signed = mirror.server.get("/dists/testing/InRelease");
    mirror.server.put("/dists/testing/InRelease", mirror.release.clone());
    assert!(mirror.refuses(&env).contains("no signature"));
    mirror.server.put("/dists/testing/InRelease", Keys::new().clear(mirror.release.as_bytes()));
    let said = mirror.refuses(&env);
    assert!(said.contains("nobody vouches for") && said.contains("not in the key ring"), "{said}");
    let changed = String::from_utf8(signed.clone()).unwrap().replace("Origin: Test", "Origin: Other");
    mirror.server.put("/dists/testing/InRelease", changed);
    assert!(mirror.refuses(&env).contains("does not hold"));
    // Another release, which the same keys have signed.
    mirror.publish("stable");
    let said = mirror.refuses(&env);
    assert!(said.contains("is the release stable (stable), and not testing"), "{said}");
    // An old one, whose time is over: what came after it may be hidden.
    mirror.publish_with("testing", "Valid-Until: Sat, 16 Aug 2025 10:03:24 UTC\n");
    let said = mirror.refuses(&env);
    assert!(said.contains("out of date since 2025-08-16") && said.contains("--allow-older"), "{said}");
    let words =
        ["create", "x", "--allow-older", "-B", "dir", "-t", "debian", "--", "-m", "local", "-r", "testing"];
    let said = env.wxc(words).fails(1);
    assert!(said.contains("base-files_1_amd64.deb"), "{said}");
    forget(&env);
    // A list, and a package, of other bytes.
    mirror.publish("testing");
    let list = format!("/dists/testing/main/binary-{}/Packages.gz", wxc_tests::oci::machine());
    let good = mirror.server.get(&list);
    mirror.server.put(&list, [&good[..], b"x"].concat());
    assert!(mirror.refuses(&env).contains("Packages.gz"));
    mirror.server.put(&list, good);
    mirror.server.put("/pool/dbus_1_amd64.deb", "other bytes");
    let said = mirror.refuses(&env);
    assert!(said.contains("dbus_1_amd64.deb"), "{said}");
    // A package that leads elsewhere.
    mirror.packages = mirror.packages.replace("pool/dbus", "pool/../../dbus");
    mirror.publish("testing");
    assert!(mirror.refuses(&env).contains("no place on a mirror"));
}

/// What came after a release is of it: from its mirror, and from that of its security updates.
#[test]
fn updates_come_along_and_the_newest_version_counts() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let mut mirror = Mirror::new(&env);
    mirror.publish("testing");
    let update = |mirror: &mut Mirror, place: &str, codename: &str, more: &str, packages: &[(&str, &str)]| {
        let all = std::mem::take(&mut mirror.packages);
        for (name, version) in packages {
            mirror.version(name, version, format!("{name} {version} is none either").as_bytes());
        }
        mirror.publish_at(place, codename, more);
        mirror.packages = all;
    };
    update(&mut mirror, "/dists/testing-updates", "testing-updates", "", &[("dbus", "1~rc1"), ("apt", "2")]);
    let security = [("base-files", "1+deb1"), ("apt", "10")];
    update(&mut mirror, "/safe/dists/testing-security", "testing-security", "", &security);
    let taken = |env: &Env, mirror: &Mirror, more: &[&str]| {
        let words = ["create", "x", "-B", "dir", "-t", "debian", "--", "-m", "local", "-r", "testing"];
        let said = env.wxc([&words[..], more].concat()).fails(1);
        let found = ["base-files_1", "base-files_1+deb1", "dbus_1", "dbus_1~rc1", "apt_1", "apt_2", "apt_10"];
        let asked = |name: &&&str| {
            let plain = mirror.server.seen(&format!("/pool/{name}_amd64.deb"));
            let safe = mirror.server.seen(&format!("/safe/pool/{name}_amd64.deb"));
            !plain.is_empty() || !safe.is_empty()
        };
        let found: Vec<&str> = found.iter().filter(asked).copied().collect();
        (said, found.join(" "))
    };
    let (said, found) = taken(&env, &mirror, &["--no-updates"]);
    assert_eq!(found, "base-files_1 dbus_1 apt_1", "{said}");
    assert!(mirror.server.seen("/dists/testing-updates/InRelease").is_empty());
    // Its packages lie beside their lists, as every mirror's do.
    for name in ["base-files_1+deb1", "apt_10"] {
        let bytes = mirror.server.get(&format!("/pool/{name}_amd64.deb"));
        mirror.server.put(&format!("/safe/pool/{name}_amd64.deb"), bytes);
    }
    forget(&env);
    let safe = format!("{}/safe", mirror.server.url());
    let (said, found) = taken(&env, &mirror, &["--security", &safe]);
    assert_eq!(found, "base-files_1 base-files_1+deb1 dbus_1 apt_1 apt_10", "{said}");
    // Updates that nobody has signed, or whose time is over, are none that could be left out.
    forget(&env);
    update(
        &mut mirror,
        "/safe/dists/testing-security",
        "testing-security",
        "Valid-Until: Sat, 16 Aug 2025 10:03:24 UTC\n",
        &security,
    );
    let (said, _) = taken(&env, &mirror, &["--security", &safe]);
    assert!(said.contains("out of date since 2025-08-16"), "{said}");
    forget(&env);
    mirror.server.put("/dists/testing-updates/InRelease", Keys::new().clear(mirror.release.as_bytes()));
    assert!(mirror.refuses(&env).contains("nobody vouches for"));
}

/// Whoever stands between here and a mirror can say that there are no updates, but not after there were some.
#[test]
fn updates_that_were_there_are_missed() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let mut mirror = Mirror::new(&env);
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    fs::copy(fixtures::busybox_program().unwrap(), tree.join("usr/bin/sh")).unwrap();
    fs::write(tree.join("usr/bin/dpkg"), "#!/usr/bin/sh\nexit 0\n").unwrap();
    fs::write(dir.path().join("debian-binary"), "2.0\n").unwrap();
    for words in [
        &["chmod", "755", "tree/usr/bin/dpkg"][..],
        &["tar", "-C", "tree", "-czf", "data.tar.gz", "."],
        &["ar", "rc", "x.deb", "debian-binary", "data.tar.gz"],
    ] {
        assert!(Command::new(words[0]).args(&words[1..]).current_dir(dir.path()).status().unwrap().success());
    }
    let package = fs::read(dir.path().join("x.deb")).unwrap();
    mirror.packages.clear();
    for name in ["base-files", "systemd-sysv", "dbus", "iproute2", "apt"] {
        mirror.package(name, &package);
    }
    mirror.publish("testing");
    mirror.publish_at("/dists/testing-updates", "testing-updates", "");
    let later = mirror.release.replace("Sat, 09 Aug 2025", "Sun, 10 Aug 2025");
    assert_ne!(later, mirror.release);
    mirror.server.put("/dists/testing-updates/InRelease", mirror.keys.clear(later.as_bytes()));
    let create = |name: &str, more: &[&str]| {
        let words = ["create", name, "-B", "dir", "-t", "debian", "--", "-m", "local", "-r", "testing"];
        env.wxc([&words[..], more].concat())
    };
    create("one", &[]).ok();
    mirror.server.remove("/dists/testing-updates/InRelease");
    forget(&env);
    let refused = create("two", &[]).fails(1);
    assert!(refused.contains("20250809T") && refused.contains("20250810T"), "{refused}");
    assert!(!env.container("two").exists());
    // Who wants none gets none.
    create("three", &["--no-updates"]).ok();
}

#[test]
fn a_root_in_which_nothing_runs_says_what_could_not_and_leaves_nothing() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let mut mirror = Mirror::new(&env);
    // A real package, with a program that fails in the place of dpkg.
    let dir = tempfile::tempdir().unwrap();
    let make = |script: &str| {
        let busybox = fixtures::busybox_program().unwrap();
        let tree = dir.path().join("tree");
        let _old = fs::remove_dir_all(&tree);
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        fs::copy(&busybox, tree.join("usr/bin/sh")).unwrap();
        fs::write(tree.join("usr/bin/dpkg"), script).unwrap();
        let run = |words: &[&str]| {
            let done = Command::new(words[0]).args(&words[1..]).current_dir(dir.path()).status().unwrap();
            assert!(done.success(), "{words:?}");
        };
        run(&["chmod", "755", "tree/usr/bin/dpkg"]);
        run(&["tar", "-C", "tree", "-czf", "data.tar.gz", "."]);
        fs::write(dir.path().join("debian-binary"), "2.0\n").unwrap();
        let _old = fs::remove_file(dir.path().join("x.deb"));
        run(&["ar", "rc", "x.deb", "debian-binary", "data.tar.gz"]);
        fs::read(dir.path().join("x.deb")).unwrap()
    };
    let failing = make("#!/usr/bin/sh\necho this is why; ls /packages; exit 7\n");
    mirror.packages.clear();
    for name in ["base-files", "systemd-sysv", "dbus", "iproute2", "apt"] {
        mirror.package(name, &failing);
    }
    mirror.publish("testing");
    let said = mirror.refuses(&env);
    assert!(said.contains("ended with status 7") && said.contains("this is why"), "{said}");
    assert!(said.contains("iproute2_1_amd64.deb"), "the packages were not there: {said}");
    // More packages than a process may have files.
    let many: Vec<String> = (0..150).map(|number| format!("many-{number}")).collect();
    for name in &many {
        mirror.package(name, &failing);
    }
    mirror.publish("testing");
    let list = many.join(",");
    let words =
        ["create", "x", "-B", "dir", "-t", "debian", "--", "-m", "local", "-r", "testing", "-i", &list];
    let plain = env.wxc(words).into_command();
    let limited = ["--nofile=100:100".into(), plain.get_program().to_owned()];
    let mut command = Command::new("prlimit");
    command.args(limited).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ended with status 7"), "{said}");
    // Without one at all.
    mirror.packages.clear();
    for name in ["base-files", "systemd-sysv", "dbus", "iproute2", "apt"] {
        mirror.package(name, &make(""));
    }
    mirror.publish("testing");
    mirror.refuses(&env);
}

#[test]
fn an_ordinary_user_makes_a_debian() {
    needs!(subordinate_ids, cgroups, mirror);
    let env = Env::of_user(2);
    env.wxc(words("one", "dir", &fixtures::mirror().unwrap(), "trixie")).ok();
    env.wxc(["start", "one"]).ok();
    assert_eq!(env.inside("one", "cat /etc/hostname; dpkg --audit"), "one");
}
