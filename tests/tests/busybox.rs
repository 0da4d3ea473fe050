//! The smallest system there is.

use std::time::{Duration, Instant};

use wxc_tests::{Env, fixtures, needs};

#[test]
fn a_busybox_starts_with_all_its_names_and_stops_when_asked() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let program = fixtures::busybox_program().unwrap();
    let program = program.to_str().unwrap();
    env.wxc(["create", "b", "-t", "busybox", "--", "--busybox-path", program]).ok();
    env.wxc(["start", "b"]).ok();
    // What people call first is there before the first boot has made the other names.
    assert_eq!(env.inside("b", "touch /tmp/here && ls /tmp && id -u"), "here\n0");
    let begun = Instant::now();
    while env.inside("b", "test -x /usr/bin/md5sum && echo there || true") != "there" {
        assert!(begun.elapsed() < Duration::from_secs(20), "its other names are not there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(env.inside("b", "cat /proc/1/comm; hostname; cat /etc/hostname; id -u"), "init\nb\nb\n0");
    // It is asked in its own way, and not killed.
    let asked = Instant::now();
    env.wxc(["stop", "b", "-t", "30"]).ok();
    assert!(asked.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_a_template_takes_of_the_host_is_shown_and_can_be_said_otherwise() {
    let env = Env::new();
    let shown = env.wxc(["plugin", "show", "template-busybox"]).ok();
    assert!(shown.contains("copy this host's /usr/bin/busybox into a container"), "{shown}");
    let refused = env.wxc(["create", "b", "-t", "busybox", "--", "--busybox-path", "/nonexistent"]).fails(1);
    assert!(refused.contains("--busybox-path: cannot open /nonexistent"), "{refused}");
}
