//! The harness itself: what the other tests rely on.

use std::process::Command;

use wxc_tests::fixtures::{self, Packed};
use wxc_tests::pty::Pty;
use wxc_tests::{Env, Run, needs, proc};

#[test]
fn the_small_guest_runs_when_its_root_is_changed_to() {
    needs!(root, busybox);
    let out = Run::host("chroot", [fixtures::busybox().as_os_str(), "/bin/id".as_ref(), "-u".as_ref()]).ok();
    assert_eq!(out, "0\n");
}

#[test]
fn the_small_guest_is_the_same_in_every_packing() {
    needs!(busybox);
    let list = |packed| {
        Run::host(
            "tar",
            ["--list".as_ref(), "--file".as_ref(), fixtures::busybox_archive(packed).as_os_str()],
        )
        .ok()
    };
    let plain = list(Packed::Plain);
    assert!(plain.contains("./sbin/init\n"), "{plain}");
    for packed in Packed::ALL {
        assert_eq!(list(packed), plain, "{packed:?}");
    }
}

#[test]
fn the_real_guests_have_an_init_and_a_login() {
    needs!(debian, newer_debian);
    for archive in [fixtures::debian(), fixtures::newer_debian()] {
        let list =
            Run::host("tar", ["--list".as_ref(), "--file".as_ref(), archive.unwrap().as_os_str()]).ok();
        for file in ["lib/systemd/systemd", "/bin/dbus-daemon", "/bin/login", "/home/user/.bashrc"] {
            assert!(list.lines().any(|line| line.ends_with(file)), "{file}");
        }
    }
}

#[test]
fn a_terminal_is_a_terminal() {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "test -t 0 && tty; read -r word; echo got $word; exit 3"]);
    let mut pty = Pty::start(&shell);
    pty.expect("/dev/pts/", 5);
    pty.send("hello\n");
    pty.expect("got hello", 5);
    let (status, screen) = pty.end(5);
    assert_eq!(status.code(), Some(3), "{screen}");
}

#[test]
fn a_command_that_does_not_end_is_ended() {
    let slow = std::panic::catch_unwind(|| Run::host("sleep", ["60"]).within(1).run());
    assert!(slow.is_err());
}

#[test]
fn processes_are_found_by_the_directory_they_use() {
    let env = Env::new();
    let mut command = Command::new("sleep");
    env.fix(&mut command);
    let mut sleep = command.arg("60").spawn().unwrap();
    let pid = i32::try_from(sleep.id()).unwrap();
    assert_eq!(env.processes(), [pid]);
    proc::kill(pid);
    assert!(!sleep.wait().unwrap().success());
    assert!(!proc::alive(pid));
    assert!(env.processes().is_empty());
}
