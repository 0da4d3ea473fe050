//! The bundled hooks that work on the files of containers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use wxc_tests::{Env, Run, fixtures, needs};

/// A tree of busybox with more files, which a test may change.
fn tree(env: &Env, files: &[(&str, &str)]) -> PathBuf {
    let tree = env.file("tree");
    Run::host("cp", ["-a".as_ref(), fixtures::busybox().as_os_str(), tree.as_os_str()]).ok();
    for (path, text) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    tree
}

/// Puts a program of this machine into a tree, with its libraries.
fn install(tree: &Path, program: &str) {
    let libraries = Run::host("ldd", [program]).ok();
    let paths = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    for path in paths.chain([program]) {
        let place = tree.join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(path, place).unwrap();
    }
}

/// The same without more files, made once.
pub(crate) fn tree_once(env: &Env) -> PathBuf {
    if env.file("tree").exists() { env.file("tree") } else { tree(env, &[]) }
}

pub(crate) fn log(env: &Env, name: &str) -> String {
    fs::read_to_string(env.container(name).join("hooks.log")).unwrap_or_default()
}

pub(crate) fn create(env: &Env, name: &str, options: &[&str], tree: &Path) {
    let mut words = vec!["create", name, "-t", "local"];
    words.extend(options);
    words.extend(["--", "--directory", tree.to_str().unwrap()]);
    env.wxc(words).ok();
}

pub(crate) fn set(env: &Env, name: &str, key: &str, value: &str) {
    env.wxc(["config", "set", name, &format!("hooks.{key}"), value]).ok();
}

pub(crate) fn stop(env: &Env, name: &str) {
    env.wxc(["stop", "-k", name]).ok();
}

#[test]
fn a_copy_has_host_keys_of_its_own_and_none_of_the_originals() {
    needs!(root, userns, busybox, cgroups, ssh_keygen);
    let env = Env::new();
    let tree =
        tree(&env, &[("usr/sbin/sshd", ""), ("etc/ssh/sshd_config", "Port 22\n"), ("etc/app/id-1", "x")]);
    install(&tree, "/usr/bin/ssh-keygen");
    for storage in ["dir", "overlay"] {
        let (web, copied) = (format!("web-{storage}"), format!("copied-{storage}"));
        create(&env, &web, &["-B", storage], &tree);
        let settings = [("enabled", "true"), ("settings.remove", "/etc/app/id-* /nowhere/at-all")];
        for (key, value) in settings {
            set(&env, &web, &format!("identity.{key}"), value);
        }
        // A server without any key gets them, before the first process runs.
        env.wxc(["start", &web]).ok();
        let list = "cd /etc/ssh; ls; cat ssh_host_*_key.pub | cut -d' ' -f1,2";
        let first = env.inside(&web, list);
        for kind in ["rsa", "ecdsa", "ed25519"] {
            assert!(first.contains(&format!("ssh_host_{kind}_key\n")), "{first}");
        }
        // As whoever prefers one type alone has it; with a certificate.
        env.inside(
            &web,
            "cd /etc/ssh; rm ssh_host_rsa_key* ssh_host_ecdsa_key*; touch ssh_host_ed25519_key-cert.pub",
        );
        let own = env.inside(&web, list);
        stop(&env, &web);

        env.wxc(["copy", &web, &copied]).ok();
        let said = log(&env, &copied);
        assert!(said.contains("removed /etc/ssh/ssh_host_ed25519_key\n"), "{said}");
        assert!(said.contains("removed /etc/app/id-1"), "{said}");
        env.wxc(["start", &copied]).ok();
        let renewed = env.inside(&copied, list);
        let files = "ssh_host_ed25519_key\nssh_host_ed25519_key.pub\nsshd_config\nssh-ed25519 ";
        assert!(renewed.starts_with(files), "{renewed}");
        assert_ne!(renewed.lines().last(), own.lines().last());
        assert_eq!(env.inside(&copied, "stat -c %a:%u /etc/ssh/ssh_host_ed25519_key; ls /etc/app"), "600:0");
        // The public key is the private one's, and both stay at the next start.
        assert!(renewed.ends_with(
            &env.inside(&copied, "ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key | cut -d' ' -f1,2")
        ));
        stop(&env, &copied);
        env.wxc(["start", &copied]).ok();
        assert_eq!(env.inside(&copied, list), renewed);
        stop(&env, &copied);
        // A container made of a snapshot is a copy as well.
        let spawned = format!("spawned-{storage}");
        env.wxc(["snapshot", &web, "s1"]).ok();
        env.wxc(["snapshot", &web, "-r", "s1", "-N", &spawned]).ok();
        env.wxc(["start", &spawned]).ok();
        let third = env.inside(&spawned, list);
        assert!(third.starts_with(files), "{third}");
        assert!(third.lines().last() != own.lines().last() && third.lines().last() != renewed.lines().last());
        stop(&env, &spawned);
        // What they share is as it was.
        env.wxc(["start", &web]).ok();
        assert_eq!(env.inside(&web, list), own);
        assert_eq!(env.inside(&web, "ls /etc/app"), "id-1");
        stop(&env, &web);
    }
}

#[test]
fn settings_of_the_identity_are_checked_when_they_are_made_and_keys_can_be_kept() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let tree =
        tree(&env, &[("etc/ssh/ssh_host_rsa_key", "secret"), ("etc/dropbear/dropbear_rsa_host_key", "s")]);
    create(&env, "web", &[], &tree);
    set(&env, "web", "identity.enabled", "true");
    for (key, value, word) in [
        ("remove", "etc/x", "does not begin with a /"),
        ("ssh-keys", "maybe", "true or false"),
        ("key", "x", "no setting"),
    ] {
        let said =
            env.wxc(["config", "set", "web", &format!("hooks.identity.settings.{key}"), value]).fails(1);
        assert!(said.contains("hook-identity") && said.contains(word), "{said}");
    }
    // Without the tools it starts all the same.
    env.wxc(["copy", "web", "copied"]).ok();
    assert!(!env.container("copied").join("rootfs/etc/ssh/ssh_host_rsa_key").exists());
    env.wxc(["start", "copied"]).ok();
    let said = log(&env, "copied");
    assert!(said.contains("host keys of the copy were not made") && said.contains("dropbearkey"), "{said}");
    stop(&env, "copied");

    set(&env, "web", "identity.settings.ssh-keys", "false");
    env.wxc(["copy", "web", "kept"]).ok();
    assert_eq!(
        fs::read_to_string(env.container("kept").join("rootfs/etc/ssh/ssh_host_rsa_key")).unwrap(),
        "secret"
    );
}

#[test]
fn names_are_written_between_marks_and_go_with_their_settings() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.configure("[hooks.resolver.settings]\nsearch = \"lan\"\n");
    let tree = tree(&env, &[("etc/hosts", "127.0.0.1\tlocalhost\n")]);
    create(&env, "web", &[], &tree);
    let said = env.wxc(["config", "set", "web", "hooks.resolver.settings.nameservers", "dns.lan"]).fails(1);
    assert!(said.contains("hook-resolver") && said.contains("\"dns.lan\" is not an address"), "{said}");
    set(&env, "web", "resolver.settings.nameservers", "10.0.0.1 10.0.0.2");
    set(&env, "web", "resolver.settings.hosts", "10.0.0.5 db db.lan");
    let look = "cat /etc/resolv.conf /etc/hosts | grep -v '^#'; stat -c %a:%u /etc/resolv.conf";
    let all = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch lan\n127.0.0.1\tlocalhost\n10.0.0.5\tdb db.lan\n644:0";
    for _ in 0..2 {
        env.wxc(["start", "web"]).ok();
        assert_eq!(env.inside("web", look), all);
        stop(&env, "web");
    }
    // What a person writes beside it stays, in a file whose owner stays, too.
    env.wxc(["start", "web"]).ok();
    env.inside("web", "echo nameserver 10.9.9.9 >> /etc/resolv.conf; chown 1000:50 /etc/resolv.conf; chmod 640 /etc/resolv.conf");
    stop(&env, "web");
    set(&env, "web", "resolver.settings.nameservers", "10.0.0.3");
    env.wxc(["config", "unset", "web", "hooks.resolver.settings.hosts"]).ok();
    env.wxc(["start", "web"]).ok();
    let seen = env.inside("web", look);
    assert_eq!(seen, "nameserver 10.0.0.3\nsearch lan\nnameserver 10.9.9.9\n127.0.0.1\tlocalhost\n640:1000");
    assert_eq!(env.inside("web", "cat /etc/hosts"), "127.0.0.1\tlocalhost");
    stop(&env, "web");
}

#[test]
fn a_link_in_place_of_a_file_of_names_is_somebody_elses_unless_told() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let tree = tree(&env, &[("etc/elsewhere", "secret\n")]);
    symlink("../run/systemd/resolve/stub-resolv.conf", tree.join("etc/resolv.conf")).unwrap();
    symlink("/etc/elsewhere", tree.join("etc/hosts")).unwrap();
    create(&env, "web", &[], &tree);
    set(&env, "web", "resolver.settings.nameservers", "10.0.0.1");
    set(&env, "web", "resolver.settings.hosts", "10.0.0.5 db");
    env.wxc(["start", "web"]).ok();
    assert!(env.inside("web", "readlink /etc/resolv.conf").contains("stub-resolv.conf"));
    let said = log(&env, "web");
    assert!(said.contains("/etc/resolv.conf was left as it is") && said.contains("force"), "{said}");
    stop(&env, "web");
    set(&env, "web", "resolver.settings.force", "true");
    env.wxc(["start", "web"]).ok();
    let seen = env.inside(
        "web",
        "readlink /etc/resolv.conf; grep -h -v '^#' /etc/resolv.conf /etc/hosts; cat /etc/elsewhere",
    );
    assert_eq!(seen, "nameserver 10.0.0.1\n10.0.0.5\tdb\nsecret");
    stop(&env, "web");
    // A guest that makes its own files impossible is what it hurts.
    env.wxc(["start", "web"]).ok();
    env.inside("web", "rm /etc/resolv.conf; mkdir /etc/resolv.conf");
    stop(&env, "web");
    env.wxc(["start", "web"]).ok();
    let said = log(&env, "web");
    assert!(said.contains("/etc/resolv.conf is not a file"), "{said}");
    stop(&env, "web");
}

#[test]
fn cloud_init_finds_a_seed_and_a_copy_is_another_instance() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    create(&env, "web", &[], &tree(&env, &[]));
    let said =
        env.wxc(["config", "set", "web", "hooks.cloud-init.settings.user-data", "packages: [vim]"]).fails(1);
    assert!(said.contains("hook-cloud-init") && said.contains("most begin with #cloud-config"), "{said}");
    let script = "#!/bin/sh\necho \"it's {me}\" > /root/done\n";
    set(&env, "web", "cloud-init.settings.user-data", script);
    set(&env, "web", "cloud-init.settings.ssh-keys", "ssh-ed25519 AAAA me@desk");
    set(&env, "web", "cloud-init.settings.vendor-data", "#cloud-config\n");
    let seed = "cd /var/lib/cloud/seed/nocloud";
    env.wxc(["start", "web"]).ok();
    let files = env.inside("web", &format!("{seed}; stat -c %a:%u:%n . *"));
    assert_eq!(files, "700:0:.\n600:0:meta-data\n600:0:network-config\n600:0:user-data\n600:0:vendor-data");
    assert_eq!(env.inside("web", &format!("{seed}; cat user-data")), script.trim_end());
    let told =
        "instance-id: \"web\"\nlocal-hostname: \"web\"\npublic-keys:\n  - \"ssh-ed25519 AAAA me@desk\"";
    assert_eq!(env.inside("web", &format!("{seed}; cat meta-data")), told);
    // As cloud-init does, which then was this instance.
    env.inside("web", "mkdir -p /var/lib/cloud/instances/web");
    stop(&env, "web");

    env.wxc(["config", "unset", "web", "hooks.cloud-init.settings.vendor-data"]).ok();
    env.wxc(["copy", "web", "copied"]).ok();
    // Also under a name that its tree has been: nothing is left of who that was then.
    env.wxc(["copy", "-R", "web", "www"]).ok();
    env.wxc(["copy", "www", "web"]).ok();
    for (name, id) in [("copied", "copied"), ("www", "web"), ("web", "web-2")] {
        for _ in 0..2 {
            env.wxc(["start", name]).ok();
            let told = env.inside(name, &format!("{seed}; ls | tr '\\n' ' '; cat meta-data"));
            let expected = format!(
                "meta-data network-config user-data instance-id: \"{id}\"\nlocal-hostname: \"{name}\"\n"
            );
            assert!(told.starts_with(&expected), "{name}: {told}");
            stop(&env, name);
        }
    }
}

#[test]
fn cloud_init_is_told_of_the_network_that_the_plan_has() {
    needs!(root, userns, busybox, cgroups, netns, bridges);
    let env = Env::new();
    create(&env, "web", &[], &tree(&env, &[]));
    let config = env.container("web").join("container.toml");
    let text = fs::read_to_string(&config).unwrap();
    let without = text.split("[[network]]").next().unwrap().to_owned();
    let look = "cat /var/lib/cloud/seed/nocloud/network-config";
    let settings = "[hooks.cloud-init.settings]\ngateway = \"10.77.0.1\"\nnameservers = \"10.77.0.2\"\n";
    let two = "[[network]]\ntype = \"veth\"\naddresses = [\"10.77.0.7/24\"]\n[[network]]\ntype = \"veth\"\n";
    fs::write(&config, format!("{without}{two}{settings}")).unwrap();
    env.wxc(["start", "web"]).ok();
    assert_eq!(
        env.inside("web", look),
        "version: 2\nethernets:\n  \"eth0\":\n    addresses: [\"10.77.0.7/24\"]\n    routes:\n      - {to: \"0.0.0.0/0\", via: \
         \"10.77.0.1\"}\n    nameservers: {addresses: [\"10.77.0.2\"], search: []}\n  \"eth1\":\n    dhcp4: true"
    );
    stop(&env, "web");
    // What cannot work is refused before anything is done.
    set(&env, "web", "cloud-init.settings.gateway", "10.78.0.1");
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("10.78.0.1 is in no network") && said.contains("10.77.0.7/24"), "{said}");
    set(&env, "web", "cloud-init.settings.network", "none");
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "ls /var/lib/cloud/seed/nocloud"), "meta-data\nuser-data");
    stop(&env, "web");
}

#[test]
fn programs_and_apt_of_a_container_are_told_of_the_proxy() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.configure("[hooks.proxy.settings]\nhttp = \"http://proxy.lan:3128\"\nno-proxy = \"db.lan .lan\"\n");
    create(&env, "bare", &[], &tree_once(&env));
    let with_apt = env.file("tree");
    fs::create_dir_all(with_apt.join("etc/apt/apt.conf.d")).unwrap();
    create(&env, "web", &[], &with_apt);
    let said = env.wxc(["config", "set", "web", "hooks.proxy.settings.https", "proxy.lan:3128"]).fails(1);
    assert!(said.contains("hook-proxy") && said.contains("is no proxy, such as"), "{said}");
    let plan = env.wxc(["start", "web", "--plan"]).ok();
    assert!(plan.contains("hook-proxy: set-variable http_proxy=http://proxy.lan:3128"), "{plan}");
    let file = "/etc/apt/apt.conf.d/95wxc-proxy";
    for _ in 0..2 {
        env.wxc(["start", "web"]).ok();
        let seen = env.inside(
            "web",
            &format!("tr '\\0' '\\n' < /proc/1/environ | grep -i proxy | sort; grep -v ^// {file}"),
        );
        assert_eq!(
            seen,
            "NO_PROXY=db.lan,.lan\nhttp_proxy=http://proxy.lan:3128\nno_proxy=db.lan,.lan\nAcquire::http::Proxy \
             \"http://proxy.lan:3128\";\nAcquire::http::Proxy::db.lan \"DIRECT\";"
        );
        stop(&env, "web");
    }
    // It goes with its setting, and comes nowhere without an apt.
    set(&env, "web", "proxy.settings.apt", "false");
    for name in ["web", "bare"] {
        env.wxc(["start", name]).ok();
        assert_eq!(env.inside(name, &format!("ls {file} 2>/dev/null || echo none")), "none");
        stop(&env, name);
    }
}
