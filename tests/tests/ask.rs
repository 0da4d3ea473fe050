//! Questions of a template on a terminal.

use std::fs;
use std::process::Command;
use std::time::Duration;

use wxc_tests::fixtures::{Packed, packed};
use wxc_tests::pty::Pty;
use wxc_tests::server::Server;
use wxc_tests::{Env, fixtures, needs};

fn world() -> (Env, Server) {
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&server.remote("local"));
    let root = fs::read(fixtures::busybox_archive(Packed::Xz)).unwrap();
    let metadata = packed(&[("config-user", "lxc.init.cmd = /bin/sleep 1000000\n")]);
    for (dist, release, variant) in [
        ("alpine", "edge", "default"),
        ("busybox", "one", "default"),
        ("busybox", "two", "cloud"),
        ("busybox", "two", "default"),
        ("zeta", "x", "default"),
    ] {
        server.flat_image(
            [dist, release, "amd64", variant, "20260722_05:24"],
            root.clone(),
            metadata.clone(),
        );
    }
    (env, server)
}

fn on_terminal(env: &Env, words: &[&str]) -> Pty {
    let mut command: Command = env.wxc(words).into_command();
    command.env("TERM", "xterm");
    Pty::start(&command)
}

#[test]
fn an_image_is_chosen_step_by_step_and_lists_get_shorter_as_one_types() {
    needs!(root, userns, cgroups, busybox);
    let (env, _server) = world();
    let mut pty = on_terminal(&env, &["create", "web", "-t", "download", "--", "--server", "local"]);
    pty.expect("Distribution", 60);
    pty.expect("zeta", 60);
    pty.send("busy");
    pty.send("\r");
    pty.expect("Release", 60);
    // The second one.
    pty.expect("two", 60);
    pty.send("\x1b[B");
    pty.send("\r");
    // The usual flavour is chosen already.
    pty.expect("Variant", 60);
    pty.send("\r");
    pty.expect("the same without questions: -t download -- ", 60);
    pty.expect("created web", 60);
    let (status, screen) = pty.end(60);
    assert!(status.success(), "{screen}");
    let config = fs::read_to_string(env.container("web").join("container.toml")).unwrap();
    assert!(config.contains("busybox/two/amd64/default/"), "{config}");
}

#[test]
fn what_was_said_is_not_asked_again() {
    needs!(root, userns, cgroups, busybox);
    let (env, _server) = world();
    let mut pty = on_terminal(
        &env,
        &["create", "web", "-t", "download", "--", "-s", "local", "-d", "busybox", "-v", "cloud"],
    );
    pty.expect("created web", 60);
    let (status, screen) = pty.end(60);
    assert!(status.success() && !screen.contains("Distribution"), "{screen}");
    let config = fs::read_to_string(env.container("web").join("container.toml")).unwrap();
    assert!(config.contains("busybox/two/amd64/cloud/"), "{config}");
}

#[test]
fn an_interrupted_question_leaves_nothing_but_the_terminal() {
    needs!(root, userns, cgroups, busybox);
    let (env, _server) = world();
    for key in ["\x03", "\x1b"] {
        let mut pty = on_terminal(&env, &["create", "web", "-t", "download", "--", "--server", "local"]);
        pty.expect("zeta", 60);
        // Keys are read as they come a moment after the list is drawn; before that Ctrl-C is a signal, which a second one follows.
        std::thread::sleep(Duration::from_millis(500));
        pty.send(key);
        let (status, screen) = pty.end(60);
        assert!(!status.success(), "{screen}");
        // The cursor is there again (xterm: DECTCEM).
        assert!(screen.rfind("\x1b[?25h") > screen.rfind("\x1b[?25l"), "{screen:?}");
        assert!(!env.container("web").exists());
    }
}

#[test]
fn without_a_terminal_it_is_an_error() {
    needs!(root, userns, cgroups, busybox);
    let (env, _server) = world();
    let refused = env.wxc(["create", "web", "-t", "download", "--", "--server", "local"]).fails(1);
    assert!(refused.contains("--dist"), "{refused}");
}
