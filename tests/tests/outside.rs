//! What hooks do outside: they reach the servers that were declared or that the administrator named, when they act, and within
//! their time.

use std::fs;
use std::time::{Duration, Instant};

use wxc_tests::server::{Fault, Server};
use wxc_tests::{Env, needs};

use crate::hooks::World;

/// A world with a messenger of this name, a server, and a container that it is attached to.
fn messenger(name: &str) -> (World, Server) {
    let world = World::of(("messenger", "hook_messenger"), &[name]);
    let server = Server::start(&world.env.file(""));
    configure(&world.env, name, &server);
    world.env.busybox("web", &[]);
    (world, server)
}

fn configure(env: &Env, name: &str, server: &Server) {
    let url = format!("[plugins.hook-{name}]\nurl = \"{}\"\n", server.url());
    env.configure(&format!("{}{url}", server.remote("ours")));
}

/// What the hook was answered when it did these at a start, one after the other.
fn answers(world: &World, name: &str, verbs: &[&str]) -> Vec<String> {
    for verb in verbs {
        world.attach("web", name, &[("at-pre-start", verb)]);
        world.wxc(&["start", "web"]).ok();
        world.wxc(&["stop", "-k", "web"]).ok();
    }
    world.kept("web", name, "said").lines().map(str::to_owned).collect()
}

#[test]
fn a_hook_asks_and_tells_the_administrators_server_and_no_other() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let (world, server) = messenger("asks");
    server.put("/x", "it is there");
    server.put("/in", "");
    server.put("/away", "");
    server.put("/on", "");
    server.put("/abroad", "");
    server.fail("/away", [Fault::Redirect("https://elsewhere.invalid/x".into())]);
    server.fail("/on", [Fault::Onward("/in".into())]);
    server.fail("/abroad", [Fault::Onward("https://elsewhere.invalid/x".into())]);
    let said = answers(
        &world,
        "asks",
        &[
            "fetch /x",
            "fetch https://elsewhere.invalid/x",
            "fetch /away",
            "post /in",
            "post /in authorization",
            "post /in host",
            "post /on",
            "post /abroad",
            "post https://declared.invalid/x",
            "post-much /in",
            "keyring team",
            "verify nobody",
        ],
    );
    let wanted = [
        "200 it is there",
        "ErrorKind::Denied: cannot fetch https://elsewhere.invalid/x",
        "ErrorKind::Denied",
        "200",
        "200",
        "ErrorKind::Denied: the header \"host\"",
        "200",
        "ErrorKind::Denied",
        // What may be asked need not be told anything.
        "ErrorKind::Denied: nothing is sent to https://declared.invalid/x",
        "ErrorKind::Invalid: a message of 307200 bytes",
        "false",
        "ErrorKind::Denied: the manifest declares no key ring",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with(wanted), "{said} is not {wanted}");
    }
    let seen = server.seen("/in");
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.iter().all(|seen| seen.method == "POST" && seen.body == b"hello"), "{seen:?}");
    assert_eq!(seen[0].headers["x-wxc-event"], "test");
    assert_eq!(
        (seen[1].headers["content-type"].as_str(), seen[1].headers["authorization"].as_str()),
        ("text/plain", "test")
    );

    // A container's own file names no server.
    world.attach("web", "asks", &[("url", "https://elsewhere.invalid")]);
    assert_eq!(answers(&world, "asks", &["fetch /x"]).last().unwrap(), "200 it is there");
    // One that is none is told when the hook is loaded.
    world.env.configure("[plugins.hook-asks]\nurl = \"elsewhere\"\n");
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(
        said.contains("hook-asks") && said.contains("url") && said.contains("neither https://"),
        "{said}"
    );
}

#[test]
fn what_has_to_be_repeatable_reaches_nobody_and_leaves_nothing() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let (world, server) = messenger("pure");
    server.put("/x", "it is there");
    for verb in ["fetch /x", "post /x", "record line", "nap 0", "verify team"] {
        world.attach("web", "pure", &[("pure", verb)]);
        let plan = world.wxc(&["start", "web", "--plan"]).ok();
        assert!(plan.contains("set-label said=ErrorKind::Denied"), "{verb}: {plan}");
    }
    assert!(server.seen("/x").is_empty());
    assert!(!world.env.path().join(".plugin-state").exists());
}

#[test]
fn a_server_that_has_trouble_is_asked_again_and_one_that_is_silent_has_the_time_of_the_call() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let (world, server) = messenger("slow");
    for path in ["/busy", "/down", "/no", "/silent"] {
        server.put(path, "");
    }
    server.put("/silent", "never all of it");
    server.fail("/busy", [Fault::Status(503), Fault::Status(429)]);
    server.fail("/down", [503, 503, 502, 200].map(Fault::Status));
    server.fail("/no", [400, 200].map(Fault::Status));
    let said = answers(&world, "slow", &["insist /busy", "insist /down", "insist /no"]);
    assert_eq!(said, ["200", "502", "400"]);
    assert_eq!([server.seen("/busy").len(), server.seen("/down").len(), server.seen("/no").len()], [3, 3, 1]);

    // A program of the host, whose own deadline is a minute, and a server: the call has three seconds.
    let stalls = (0..8).map(|_| Fault::StallAfter(1));
    server.fail("/silent", stalls);
    for verb in ["nap 40", "fetch /silent"] {
        let since = Instant::now();
        let said = answers(&world, "slow", &[verb]);
        let last = said.last().unwrap();
        assert!(
            last.starts_with("ErrorKind::Exhausted") && last.contains("time of this call"),
            "{verb}: {last}"
        );
        assert!(since.elapsed() < Duration::from_secs(20), "{verb}: {:?}", since.elapsed());
    }
    assert_eq!(answers(&world, "slow", &["nap 1"]).last().unwrap(), "rested");
}

#[test]
fn what_is_undone_may_be_told_outside_too() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let (world, server) = messenger("undoes");
    server.put("/undone", "");
    world.attach("web", "undoes", &[("undo", "post /undone")]);
    world.wxc(&["start", "web", "--", "/no/such/program"]).fails(1);
    assert_eq!(server.seen("/undone").len(), 2);
    assert_eq!(world.kept("web", "undoes", "said"), "200\n200");
}

#[test]
fn records_are_of_all_containers_and_survive_them() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let (world, _server) = messenger("records");
    let said = answers(&world, "records", &["record first \u{e4}", "record-lines", "record"]);
    assert_eq!(said[0], "recorded");
    assert!(said[1..].iter().all(|said| said.starts_with("ErrorKind::Invalid")), "{said:?}");
    world.env.busybox("db", &[]);
    world.attach("db", "records", &[("at-started", "record second")]);
    world.wxc(&["start", "db"]).ok();
    for name in ["web", "db"] {
        world.wxc(&["destroy", "-f", name]).ok();
    }
    let shown = world.wxc(&["plugin", "show", "hook-records"]).ok();
    let file = world.env.path().join(".plugin-state/hook-records/records.log");
    assert!(shown.contains(&file.display().to_string()), "{shown}");
    for word in
        ["notify-setting:url", "origin-setting:url", "origin:https://declared.invalid", "records: keep a log"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(lines.iter().map(|line| line.1).collect::<Vec<_>>(), ["first \u{e4}", "second"]);
    assert!(
        lines.iter().all(|line| line.0.len() == "2026-01-01T00:00:00.000Z".len() && line.0.ends_with('Z')),
        "{text}"
    );
}
