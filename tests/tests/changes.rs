//! Devices, addresses and options of mounts that hooks change, as seen from inside.

use wxc_tests::nodes::Nodes;
use wxc_tests::{Env, needs};

use crate::hooks::World;
use crate::network::{Machine, veth};

const HOOK: (&str, &str) = ("messenger", "hook_messenger");

/// What opening a node for reading and writing comes to.
fn open(env: &Env, node: &str) -> String {
    env.inside("web", &format!("if [ ! -e {node} ]; then echo none; elif (exec 3<>{node}) 2>/dev/null; then echo open; else echo shut; fi"))
}

#[test]
fn a_device_is_there_and_may_be_used_where_a_hook_adds_it() {
    needs!(root, userns, busybox, cgroups, disks, wasm_target);
    let world = World::of(HOOK, &["adds"]);
    let mut nodes = Nodes::default();
    // Numbers of a device that no container may use unless told, and that can be opened without consequences: loop-control.
    let name = |n: &str| format!("wxc-test-{}-{n}", std::process::id());
    for n in ["a", "b", "c"] {
        nodes.add(&name(n), 10, 237);
    }
    for privileged in [false, true] {
        world.env.busybox("web", if privileged { &["--privileged"] } else { &[] });
        world.attach("web", "adds", &[("change-1", &format!("add-device {}", name("a")))]);
        world.wxc(&["start", "web"]).ok();
        assert_eq!(open(&world.env, &format!("/dev/{}", name("a"))), "open", "privileged: {privileged}");
        assert_eq!(open(&world.env, &format!("/dev/{}", name("b"))), "none", "privileged: {privileged}");
        world.wxc(&["destroy", "-f", "web"]).ok();
    }

    // A name with a star means those that there are, which may be none; one without has to be there.
    world.env.busybox("web", &[]);
    let pattern = format!("add-device wxc-test-{}*", std::process::id());
    world.attach("web", "adds", &[("change-1", &pattern), ("change-2", "add-device wxc-test-none*")]);
    world.wxc(&["start", "web"]).ok();
    let there = world.env.inside("web", "ls /dev | grep wxc-test");
    assert_eq!(there.lines().collect::<Vec<_>>(), [name("a"), name("b"), name("c")]);
    world.wxc(&["stop", "-k", "web"]).ok();
    for (change, word) in [
        ("add-device wxc-test-none", "No such file"),
        ("add-device loop*", "does not declare the device"),
        ("add-device wxc-test-../sda", "does not declare the device"),
    ] {
        world.attach("web", "adds", &[("change-1", change)]);
        let said = world.wxc(&["start", "web"]).fails(1);
        assert!(said.contains("hook-adds") && said.contains(word), "{change}: {said}");
    }
}

#[test]
fn a_device_that_a_hook_takes_away_cannot_be_used_any_more() {
    needs!(root, busybox, cgroups, wasm_target);
    if !Nodes::exists("fuse") {
        return wxc_tests::needs::skip("the kernel has no fuse");
    }
    let world = World::of(HOOK, &["takes"]);
    world.env.busybox("web", &["--privileged"]);
    world.wxc(&["start", "web"]).ok();
    assert_eq!(open(&world.env, "/dev/fuse"), "open");
    world.wxc(&["stop", "-k", "web"]).ok();
    world.attach("web", "takes", &[("change-1", "remove-device fuse")]);
    world.wxc(&["start", "web"]).ok();
    // The container's own init cannot even make the node.
    assert_eq!(open(&world.env, "/dev/fuse"), "none");
    assert_eq!(world.env.inside("web", "mknod /tmp/f c 10 229 2>/dev/null || echo refused"), "refused");
    assert_eq!(open(&world.env, "/dev/null"), "open");
}

#[test]
fn an_address_of_a_hook_is_on_its_interface() {
    needs!(root, userns, busybox, cgroups, netns, bridges, wasm_target);
    let machine = Machine::new("address");
    let world = World::within(Env::in_network(machine.path()), HOOK, &["address"]);
    world.env.busybox("web", &["-s", &veth("10.77.0.5")]);
    world.attach("web", "address", &[("change-1", "add-address eth0 10.77.9.5/24")]);
    world.wxc(&["start", "web"]).ok();
    let shown = world.env.inside("web", "ip -4 addr show dev eth0");
    assert!(shown.contains("10.77.9.5/24") && shown.contains("10.77.0.5/24"), "{shown}");
    world.wxc(&["stop", "-k", "web"]).ok();
    for (change, word) in [
        ("add-address eth9 10.77.9.5/24", "no interface eth9"),
        ("add-address eth0 10.77.9.300/24", "10.77.9.300"),
    ] {
        world.attach("web", "address", &[("change-1", change)]);
        let said = world.wxc(&["start", "web"]).fails(1);
        assert!(said.contains("hook-address") && said.contains(word), "{change}: {said}");
    }
}

/// The options of the mount at a place, as the kernel tells them inside.
fn options(env: &Env, place: &str) -> Vec<String> {
    let line = env.inside("web", &format!("grep ' {place} ' /proc/self/mounts"));
    line.split(' ').nth(3).unwrap_or_default().split(',').map(str::to_owned).collect()
}

#[test]
fn words_of_mounts_hold_for_people_and_for_hooks() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::of(HOOK, &["words"]);
    let data = world.env.file("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), "x").unwrap();
    std::os::unix::fs::symlink("file", data.join("link")).unwrap();
    let mount = |target: &str, rest: &str| {
        format!("{{source = \"{}\", target = \"{target}\", create = \"dir\"{rest}}}", data.display())
    };
    let mounts = format!(
        "mounts=[{}, {}, {}]",
        mount("/a", ", access-time = \"noatime\", nosymfollow = true"),
        mount("/b", ", access-time = \"strictatime\""),
        mount("/c", ", access-time = \"relatime\""),
    );
    world.env.busybox("web", &["-s", &mounts]);
    world.attach(
        "web",
        "words",
        &[
            ("change-1", "add-memory /m noatime,nosymfollow,ro"),
            ("change-2", "add-memory /n nodiratime,noexec"),
        ],
    );
    world.wxc(&["start", "web"]).ok();
    let has = |place: &str, word: &str| options(&world.env, place).iter().any(|option| option == word);
    assert!(
        has("/a", "noatime")
            && has("/m", "noatime")
            && has("/m", "ro")
            && has("/n", "nodiratime")
            && has("/n", "noexec")
    );
    assert!(has("/c", "relatime") && !has("/c", "noatime"));
    assert!(!has("/b", "relatime") && !has("/b", "noatime"), "{:?}", options(&world.env, "/b"));
    assert_eq!(
        world.env.inside("web", "cat /a/file; cat /a/link 2>/dev/null || echo not followed"),
        "xnot followed"
    );
    assert_eq!(world.env.inside("web", "cat /b/link"), "x");
    let plan = world.wxc(&["start", "web", "--plan"]).ok();
    assert!(plan.contains("nosymfollow noatime"), "{plan}");
    world.wxc(&["stop", "-k", "web"]).ok();
    for (change, word) in
        [("add-memory /m suid", "no option suid"), ("add-memory /m idmap", "nothing to shift")]
    {
        world.attach("web", "words", &[("change-1", change)]);
        let said = world.wxc(&["start", "web"]).fails(1);
        assert!(said.contains(word), "{change}: {said}");
    }
}
