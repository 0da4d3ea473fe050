//! The hooks that come with wxc, each with a real container.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wxc_tests::nodes::Nodes;
use wxc_tests::server::{Fault, Server};
use wxc_tests::{Env, needs};

/// What the audit has recorded, without the times, after a look at these.
fn records(env: &Env) -> Vec<Value> {
    let file = env.path().join(".plugin-state/hook-audit/records.log");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let text = fs::read_to_string(file).unwrap();
    let mut last = String::new();
    text.lines()
        .map(|line| {
            let (time, record) = line.split_once(' ').unwrap();
            assert!(time.ends_with('Z') && *time >= *last, "{text}");
            last = time.to_owned();
            serde_json::from_str(record).unwrap_or_else(|error| panic!("{record}: {error}"))
        })
        .collect()
}

fn events(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|record| record["event"].as_str()).collect()
}

#[test]
fn the_audit_has_a_line_for_each_event_of_every_container_and_outlives_them() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.configure("[hooks.audit]\n[hooks.policy]\n[plugins.hook-policy]\nprivileged = \"refuse\"\n");
    env.busybox("web", &["-s", "labels.tier=sh\u{f6}p"]);
    env.wxc(["start", "web"]).ok();
    env.wxc(["freeze", "web"]).ok();
    env.wxc(["unfreeze", "web"]).ok();
    env.wxc(["stop", "-k", "web"]).ok();
    env.busybox("bad", &["--privileged"]);
    // Another hook refuses it, and nothing was begun.
    env.wxc(["start", "bad"]).fails(1);
    env.wxc(["destroy", "web"]).ok();
    let all = records(&env);
    let of = |name: &str| -> Vec<Value> {
        all.iter().filter(|record| record["container"] == name).cloned().collect()
    };
    let web = of("web");
    assert_eq!(
        events(&web),
        ["create", "pre-start", "started", "freeze", "thaw", "stop", "post-stop", "destroy"],
        "{web:#?}"
    );
    assert_eq!(events(&of("bad")), ["create"]);
    assert!(web.iter().all(|record| record["labels"]["tier"] == "sh\u{f6}p"), "{web:#?}");
    assert_eq!((&web[5]["detail"]["signal"], &web[2]["privileged"]), (&Value::from(9), &Value::from(false)));
    assert!(env.wxc(["plugin", "show", "hook-audit"]).ok().contains("records.log"));
}

#[test]
fn the_audit_of_an_ordinary_user_is_theirs() {
    needs!(root, subordinate_ids, busybox);
    let env = Env::of_user(1);
    env.configure("[hooks.audit]\n[plugins.hook-audit]\nrequired = true\nevents = \"create started stop\"\n");
    env.busybox("web", &[]);
    env.wxc(["start", "web"]).ok();
    env.wxc(["stop", "-k", "web"]).ok();
    assert_eq!(events(&records(&env)), ["create", "started", "stop"]);
}

#[test]
fn what_cannot_be_recorded_does_not_happen_where_that_is_required() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    // In the place of its directory is a file.
    fs::create_dir(env.path().join(".plugin-state")).unwrap();
    fs::write(env.path().join(".plugin-state/hook-audit"), "").unwrap();
    env.configure("[hooks.audit]\n[plugins.hook-audit]\nrequired = true\n");
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("hook-audit") && said.contains("records.log"), "{said}");
    assert_eq!(env.state("web"), "STOPPED");
    env.configure("[hooks.audit]\n");
    let output = env.wxc(["start", "web"]).run();
    assert!(output.status.success() && output.stderr.contains("a hook failed"), "{}", output.told());
}

/// HMAC-SHA256 (RFC 2104), of a key that is no longer than a block.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let pad =
        |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or_default() ^ with).collect() };
    let inner = Sha256::digest([pad(0x36), message.to_vec()].concat());
    let outer = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The webhook, pointed at a server, with more settings.
fn webhook(env: &Env, server: &Server, more: &str) {
    let url = format!("url = \"{}/hook\"\n", server.url());
    env.configure(&format!(
        "[hooks.webhook]\n[plugins.hook-webhook]\n{url}{more}\n{}",
        server.remote("ours")
    ));
}

#[test]
fn a_server_is_told_of_chosen_events_and_can_tell_that_they_are_ours() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let server = Server::start(&env.file(""));
    server.put("/hook", "");
    // The first attempt does not succeed.
    server.fail("/hook", [Fault::Status(503)]);
    webhook(&env, &server, "secret = \"between us\"\nevents = \"started post-stop destroy\"");
    env.busybox("web", &["-s", "labels.tier=shop"]);
    env.wxc(["start", "web"]).ok();
    env.wxc(["stop", "-k", "web"]).ok();
    env.wxc(["destroy", "web"]).ok();
    let seen = server.seen("/hook");
    let told: Vec<&str> = seen.iter().map(|seen| seen.headers["x-wxc-event"].as_str()).collect();
    assert_eq!(told, ["started", "started", "post-stop", "destroy"]);
    for seen in &seen {
        assert_eq!(
            (seen.method.as_str(), seen.headers["content-type"].as_str()),
            ("POST", "application/json")
        );
        let signature = format!("sha256={}", hmac(b"between us", &seen.body));
        assert_eq!(seen.headers["x-hub-signature-256"], signature);
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(body["event"], seen.headers["x-wxc-event"].as_str());
        assert_eq!(
            (&body["container"], &body["labels"]["tier"]),
            (&Value::from("web"), &Value::from("shop"))
        );
    }
    assert!(!env.wxc(["plugin", "show", "hook-webhook"]).ok().contains("between us"));
}

#[test]
fn what_cannot_be_told_is_reported_unless_it_is_required() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    // Nobody has said where to.
    env.configure("[hooks.webhook]\n");
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("set `url` below [plugins.hook-webhook]"), "{said}");

    let server = Server::start(&env.file(""));
    webhook(&env, &server, "events = \"pre-start\"");
    let output = env.wxc(["start", "web"]).run();
    assert!(output.status.success() && output.stderr.contains("answered 404"), "{}", output.told());
    env.wxc(["stop", "-k", "web"]).ok();
    webhook(&env, &server, "events = \"pre-start\"\nrequired = true");
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("hook-webhook") && said.contains("answered 404"), "{said}");
    assert_eq!(env.state("web"), "STOPPED");
    assert_eq!(server.seen("/hook").len(), 2);
    webhook(&env, &server, "timeout = 61");
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("timeout") && said.contains("1 to 60"), "{said}");
}

#[test]
fn shares_are_mounted_with_the_ids_of_the_container() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    for name in ["media", "desk"] {
        fs::create_dir(env.file(name)).unwrap();
        fs::write(env.file(name).join("file"), name).unwrap();
    }
    std::os::unix::fs::chown(env.file("media").join("file"), Some(1000), Some(50)).unwrap();
    let shares = format!(
        "[shares.hook-mounts]\nmedia = \"{}\"\ndesk = \"{}\"\n[plugins.hook-mounts]\nread-only = \"media\"\n",
        env.file("media").display(),
        env.file("desk").display()
    );
    env.configure(&shares);
    env.busybox("web", &[]);
    let set = |name: &str, text: &str| {
        env.wxc(["config", "set", "web", &format!("hooks.mounts.settings.{name}"), text]).ok();
    };
    set("films", "media /srv/my\\040films noatime");
    set("desk", "desk /srv/desk noexec,nosymfollow");
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "stat -c '%U %G' '/srv/my films/file'"), "user staff");
    assert_eq!(env.inside("web", "echo x > '/srv/my films/new' 2>/dev/null || echo read-only"), "read-only");
    assert_eq!(
        env.inside(
            "web",
            "stat -c %u /srv/desk/file; echo x > /srv/desk/new; chown 1000 /srv/desk/new; echo done"
        ),
        "0\ndone"
    );
    let new = fs::metadata(env.file("desk").join("new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (1000, 0));
    let mounts = env.inside("web", "cat /proc/self/mounts");
    let line = |place: &str| mounts.lines().find(|line| line.contains(place)).unwrap_or_default().to_owned();
    for (place, words) in
        [("my\\040films", ["ro", "noatime", "nosuid"]), ("/srv/desk", ["noexec", "nosymfollow", "nodev"])]
    {
        assert!(words.iter().all(|word| line(place).contains(word)), "{place}: {mounts}");
    }
    env.wxc(["stop", "-k", "web"]).ok();
    for (text, word) in [
        ("media /srv/films rw", "lets containers only read media"),
        ("nowhere /srv/films", "[shares.hook-mounts] nowhere ="),
        ("desk /srv/desk2 suid", "no option suid"),
        ("desk /srv/../etc", ".."),
        ("desk", "SHARE /PLACE"),
    ] {
        set("films", text);
        let said = env.wxc(["start", "web"]).fails(1);
        assert!(said.contains("hook-mounts") && said.contains(word), "{text}: {said}");
    }
}

#[test]
fn graphics_processors_come_with_their_nodes_libraries_and_variables() {
    needs!(root, userns, busybox, cgroups);
    if ["nvidia0", "nvidiactl", "nvidia-caps", "kfd"].into_iter().any(Nodes::exists) {
        return wxc_tests::needs::skip("this machine has real ones, in whose place none can stand");
    }
    let env = Env::new();
    fs::create_dir(env.file("driver")).unwrap();
    fs::write(env.file("driver").join("libcuda.so"), "a library").unwrap();
    env.configure(&format!("[shares.hook-gpu]\nlibraries = \"{}\"\n", env.file("driver").display()));
    env.busybox("web", &[]);
    let set = |name: &str, text: &str| {
        env.wxc(["config", "set", "web", &format!("hooks.gpu.settings.{name}"), text]).ok();
    };
    set("vendor", "nvidia");
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("hook-gpu") && said.contains("/dev/nvidiactl"), "{said}");
    set("optional", "true");
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "ls /dev | grep -c nvidia || true"), "0");
    env.wxc(["stop", "-k", "web"]).ok();

    // In the place of real ones, with the numbers of null(4): they can be opened.
    let mut nodes = Nodes::default();
    for name in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps/nvidia-cap1"] {
        nodes.add(name, 1, 3);
    }
    set("optional", "false");
    set("libraries", "/usr/local/nvidia/lib");
    env.wxc(["start", "web"]).ok();
    let there = env.inside("web", "cd /dev; ls -d nvidia* nvidia-caps/*; echo x > nvidia1");
    assert_eq!(
        there.lines().collect::<Vec<_>>(),
        ["nvidia-caps", "nvidia-caps/nvidia-cap1", "nvidia-uvm", "nvidia0", "nvidia1", "nvidiactl"]
    );
    assert_eq!(env.inside("web", "cat /usr/local/nvidia/lib/libcuda.so"), "a library");
    let variables = env.inside("web", "tr '\\0' '\\n' < /proc/1/environ");
    for line in [
        "NVIDIA_VISIBLE_DEVICES=all",
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        "LD_LIBRARY_PATH=/usr/local/nvidia/lib",
    ] {
        assert!(variables.lines().any(|variable| variable == line), "{variables}");
    }
    env.wxc(["stop", "-k", "web"]).ok();

    // Only those that are listed.
    set("devices", "1");
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "cd /dev; echo nvidia?"), "nvidia1");
    assert!(env.inside("web", "tr '\\0' '\\n' < /proc/1/environ").contains("NVIDIA_VISIBLE_DEVICES=1"));
    env.wxc(["stop", "-k", "web"]).ok();
    set("devices", "7");
    assert!(env.wxc(["start", "web"]).fails(1).contains("/dev/nvidia7"));
    set("vendor", "voodoo");
    assert!(env.wxc(["start", "web"]).fails(1).contains("hooks.gpu.settings.vendor"));
}
