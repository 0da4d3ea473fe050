//! A rootfs that an attacker has made: nothing outside of it may change, and nothing may hang.

mod runtime_world;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use runtime_world::{World, needs_root};
use wxc::plan::{MountAttributes, MountSource, MountStep, Namespace, NodeKind};
use wxc::runtime::RuntimeError;

/// A directory of the host that must stay as it is.
fn victim(world: &World) -> std::path::PathBuf {
    let victim = world.path().join("victim");
    fs::create_dir(&victim).expect("victim");
    victim
}

fn is_untouched(victim: &Path) -> bool {
    fs::read_dir(victim).expect("victim").next().is_none()
        && !fs::read_to_string("/proc/self/mounts").expect("mounts").contains(&*victim.to_string_lossy())
}

fn replace(path: &Path, with: impl FnOnce(&Path)) {
    if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
        .expect("remove");
    with(path);
}

#[test]
fn a_mount_target_that_is_a_link_is_refused() {
    needs_root!();
    for target in ["dev", "proc", "sys"] {
        for kind in ["absolute", "relative", "dangling", "loop"] {
            let world = World::new("link");
            let victim = victim(&world);
            replace(&world.rootfs().join(target), |path| {
                let to = match kind {
                    "absolute" => victim.clone(),
                    "relative" => "../victim".into(),
                    "dangling" => "/no/such".into(),
                    _ => target.into(),
                };
                symlink(to, path).expect("link");
            });
            let error = world.launch(&world.plan(&["/bin/sleep", "1000"])).expect_err("it is a trap");
            let RuntimeError::Step { errno, what, .. } = &error else { panic!("{error}") };
            assert_eq!(*errno, libc::ELOOP, "{kind} /{target}: {error}");
            assert!(what.ends_with(&format!("on /{target}")), "{what}");
            assert!(error.hint().is_some_and(|hint| hint.contains("link")), "{error}");
            assert!(is_untouched(&victim), "{kind} /{target}");
        }
    }
}

#[test]
fn a_mount_target_of_the_wrong_kind_is_refused() {
    needs_root!();
    for kind in ["file", "fifo", "socket"] {
        let world = World::new("kind");
        replace(&world.rootfs().join("dev"), |path| match kind {
            "file" => fs::write(path, "").expect("file"),
            "fifo" => rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o644.into()).expect("fifo"),
            _ => drop(std::os::unix::net::UnixListener::bind(path).expect("socket")),
        });
        let begun = Instant::now();
        let error = world.launch(&world.plan(&["/bin/sleep", "1000"])).expect_err("not a directory");
        assert!(matches!(error, RuntimeError::Step { errno: libc::ENOTDIR, .. }), "{kind}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "nothing waits for the other end of a {kind}");
    }
}

#[test]
fn what_is_made_in_a_rootfs_is_made_nowhere_else() {
    needs_root!();
    let world = World::new("made");
    let victim = victim(&world);
    symlink(&victim, world.rootfs().join("a")).expect("link");
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    plan.mounts.push(MountStep {
        source: MountSource::Filesystem {
            fstype: "tmpfs".into(),
            source: "tmpfs".into(),
            options: Vec::new(),
        },
        target: "a/b/c".into(),
        attributes: MountAttributes::default(),
        create: Some(NodeKind::Directory),
        optional: false,
        asked_by: None,
        reason: "of the test".into(),
    });
    world.launch(&plan).expect_err("a link leads to it");
    assert!(is_untouched(&victim));
    fs::remove_file(world.rootfs().join("a")).expect("link");
    let running = world.run(&plan);
    assert_eq!(running.output("grep -c ' /a/b/c tmpfs' /proc/mounts"), "1\n");
}

#[test]
fn an_own_dev_full_of_links_is_not_written_through() {
    needs_root!();
    let world = World::new("own-dev");
    let victim = victim(&world);
    fs::write(victim.join("file"), "precious").expect("file");
    for name in ["null", "zero", "full", "console", "tty1", "tty2"] {
        symlink(victim.join("file"), world.rootfs().join("dev").join(name)).expect("link");
    }
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    plan.mounts.retain(|step| step.target != Path::new("dev"));
    let error = world.launch(&plan).expect_err("links");
    assert!(matches!(error, RuntimeError::Step { errno: libc::ELOOP, .. }), "{error}");
    for name in ["null", "zero", "full"] {
        fs::remove_file(world.rootfs().join("dev").join(name)).expect("link");
    }
    let error = world.launch(&plan).expect_err("the console is a link");
    assert!(error.to_string().contains("/dev/console"), "{error}");
    assert_eq!(fs::read_to_string(victim.join("file")).expect("file"), "precious");
}

#[test]
fn a_target_that_is_swapped_while_we_look_leads_nowhere() {
    needs_root!();
    let world = World::new("race");
    let victim = victim(&world);
    let (target, other) = (world.rootfs().join("dev"), world.rootfs().join("other"));
    symlink(&victim, &other).expect("link");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // A directory and a link change places, atomically.
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let here = rustix::fs::CWD;
                rustix::fs::renameat_with(here, &target, here, &other, flags).expect("exchange");
            }
        });
        for _ in 0..30 {
            if let Ok(launched) = world.launch_foreground(&world.plan(&["/bin/true"])) {
                launched.wait().expect("it ends");
            }
            assert!(is_untouched(&victim));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(is_untouched(&victim));
}

#[test]
fn hostile_account_files_do_not_hang_or_lie() {
    needs_root!();
    for kind in ["fifo", "link", "loop", "device", "huge", "binary", "directory"] {
        let world = World::new("accounts");
        replace(&world.rootfs().join("etc/passwd"), |path| match kind {
            "fifo" => rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o644.into()).expect("fifo"),
            "link" => symlink("/proc/self/root/etc/shadow", path).expect("link"),
            "loop" => symlink("passwd", path).expect("link"),
            "device" => rustix::fs::mknodat(
                rustix::fs::CWD,
                path,
                rustix::fs::FileType::CharacterDevice,
                0o666.into(),
                rustix::fs::makedev(1, 5),
            )
            .expect("device"),
            "huge" => {
                let file = fs::File::create(path).expect("file");
                file.set_len(1 << 40).expect("sparse");
            }
            "binary" => fs::write(path, [0xff, 0, b':', b'\n'].repeat(1000)).expect("file"),
            _ => fs::create_dir(path).expect("directory"),
        });
        let running = world.run_idle();
        let begun = Instant::now();
        // Not id(1), which would read the file itself.
        let status = running.output_as(Some("7"), "cat /proc/self/status");
        assert!(status.contains("Uid:\t7\t7\t7\t7"), "{kind}: {status}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{kind}");
        assert!(
            running.attach_as(Some("daemon"), &["true"]).is_err(),
            "the host's users are not the container's"
        );
    }
}

#[test]
fn a_working_directory_cannot_be_one_of_our_descriptors() {
    needs_root!();
    let world = World::new("cwd");
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    for number in 3..40 {
        plan.init.cwd = format!("/proc/self/fd/{number}").into();
        let error = world.launch(&plan).expect_err("magic links lead out");
        let RuntimeError::Step { errno, .. } = error else { panic!("{error}") };
        assert!(errno == libc::ELOOP || errno == libc::ENOENT, "{errno}");
    }
}

#[test]
fn our_executable_cannot_be_reached_from_inside() {
    needs_root!();
    let world = World::new("exe");
    let program = env!("CARGO_BIN_EXE_wxc");
    let before = fs::metadata(program).expect("program").modified().expect("time");
    symlink("/proc/self/exe", world.rootfs().join("bin/self")).expect("link");
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    plan.ids = None;
    plan.rootfs.idmapped = false;
    plan.namespaces.retain(|step| step.kind != Namespace::User);
    let running = world.run(&plan);
    // What /bin/self executes is what the entering process runs: the sealed image, or nothing.
    drop(running.attach(&["/bin/self"]));
    let writable = running
        .output("for exe in /proc/[0-9]*/exe; do (echo > $exe) 2>/dev/null && readlink $exe; done; true");
    for line in writable.lines() {
        assert!(!line.contains("wxc"), "{line}");
    }
    drop(running);
    assert_eq!(fs::metadata(program).expect("program").modified().expect("time"), before);
}

#[test]
fn the_caller_cannot_be_typed_on() {
    needs_root!();
    let world = World::new("tty");
    let running = world.run_idle();
    // Without a terminal of its own the command has none at all: TIOCSTI has nothing to act on.
    assert_eq!(
        running.output("tty || echo none; (: < /dev/tty) 2>/dev/null || echo no controlling terminal"),
        "not a tty\nnone\nno controlling terminal\n"
    );
    let answer = running.in_terminal("tty; stty size; echo $TERM");
    assert!(answer.contains("/dev/pts/"), "{answer}");
    assert!(answer.contains("24 80"), "{answer}");
}
