//! `needs!`: what a test needs of the machine. Without it the test says so and is counted as
//! skipped, never as passed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns from the test, with a line that is counted, unless the machine has all of these:
/// names of the functions of this module.
#[macro_export]
macro_rules! needs {
    ($($need:ident),+ $(,)?) => {
        if let Some(reason) = [$($crate::needs::$need),+].into_iter().find_map(|need| need()) {
            $crate::needs::skip(&reason);
            return;
        }
    };
}

/// Tells that the running test does not run. Into the file that the task which counts has named,
/// because what a test prints is shown only when it fails.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("?"));
    let told = std::env::var_os("WXC_TEST_SKIPS").and_then(|file| {
        let mut file = OpenOptions::new().append(true).create(true).open(file).ok()?;
        file.write_all(line.as_bytes()).ok()
    });
    if told.is_none() {
        // Straight to the descriptor, past the capture.
        let _shown = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Root: to mount, to make cgroups, to map other ids than one's own.
#[must_use]
pub fn root() -> Option<String> {
    (!rustix::process::geteuid().is_root()).then(|| "it needs root".into())
}

/// User namespaces, which a kernel or an administrator can switch off.
#[must_use]
pub fn userns() -> Option<String> {
    missing("unshare", &["--user", "--map-root-user", "true"], "user namespaces are switched off")
}

/// What an ordinary user needs: the programs of shadow-utils that write maps, and setpriv to become one.
#[must_use]
pub fn subordinate_ids() -> Option<String> {
    let root = root();
    let setpriv = || missing("setpriv", &["--version"], "setpriv is not installed (util-linux)");
    let programs = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"];
    let there = programs.iter().all(|program| Path::new(program).exists());
    let maps = || (!there).then(|| "newuidmap and newgidmap are not installed (package uidmap)".into());
    root.or_else(setpriv).or_else(maps).or_else(userns)
}

/// A cgroup hierarchy in which directories can be made.
#[must_use]
pub fn cgroups() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(2);
        let kind = fields.next().unwrap_or_default();
        let options = fields.next().unwrap_or_default();
        matches!(kind, "cgroup" | "cgroup2") && options.split(',').any(|option| option == "rw")
    });
    (!found).then(|| "no cgroup hierarchy is mounted writable".into())
}

/// A network of the test's own, in which it plays the machine.
#[must_use]
pub fn netns() -> Option<String> {
    missing("unshare", &["--net", "ip", "link", "show", "lo"], "no network namespace, or no iproute2")
}

/// Bridges, as a kernel module may be missing.
#[must_use]
pub fn bridges() -> Option<String> {
    missing("unshare", &["--net", "ip", "link", "add", "b0", "type", "bridge"], "the kernel has no bridges")
}

/// The static busybox of which the small guest is made.
#[must_use]
pub fn busybox() -> Option<String> {
    crate::fixtures::busybox_program().err()
}

/// The Debian guest: mmdebstrap and a mirror, once; afterwards the kept file.
#[must_use]
pub fn debian() -> Option<String> {
    crate::fixtures::debian().err()
}

/// A mirror of Debian.
#[must_use]
pub fn mirror() -> Option<String> {
    crate::fixtures::mirror().err()
}

/// The same of a later release.
#[must_use]
pub fn newer_debian() -> Option<String> {
    crate::fixtures::newer_debian().err()
}

/// Loop devices, and what makes a file system on one.
#[must_use]
pub fn disks() -> Option<String> {
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices".into());
    }
    missing("mkfs.ext4", &["-V"], "mkfs.ext4 is not installed")
}

/// btrfs, and what makes one.
#[must_use]
pub fn btrfs() -> Option<String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default().contains("btrfs");
    if !known {
        return Some("the kernel has no btrfs".into());
    }
    missing("mkfs.btrfs", &["--version"], "mkfs.btrfs is not installed")
}

/// strace, and a kernel that lets it look.
#[must_use]
pub fn strace() -> Option<String> {
    missing(
        "strace",
        &["-f", "-o", "/dev/null", "true"],
        "strace is not installed, or may not trace (cargo xtask setup)",
    )
}

/// The sources, for tests that read them.
#[must_use]
pub fn checkout() -> Option<String> {
    (!Path::new(&crate::root()).join("Cargo.toml").exists()).then(|| "the sources are not here".into())
}

/// Loop devices, which a kernel may be without and a machine in a container may not use.
#[must_use]
pub fn loop_devices() -> Option<String> {
    (!Path::new("/dev/loop-control").exists()).then(|| "there are no loop devices".into())
}

/// The program that makes an ext4, and with it those that check and resize one.
#[must_use]
pub fn mkfs_ext4() -> Option<String> {
    missing("mkfs.ext4", &["-V"], "mkfs.ext4 is not installed (e2fsprogs)")
}

/// The program that makes images of squashfs.
#[must_use]
pub fn mksquashfs() -> Option<String> {
    missing("mksquashfs", &["-help"], "mksquashfs is not installed (squashfs-tools)")
}

/// The program that makes keys for SSH.
#[must_use]
pub fn ssh_keygen() -> Option<String> {
    (!Path::new("/usr/bin/ssh-keygen").exists())
        .then(|| "ssh-keygen is not installed (openssh-client)".into())
}

/// The program that makes an xfs, and a kernel that mounts one.
#[must_use]
pub fn mkfs_xfs() -> Option<String> {
    missing("mkfs.xfs", &["-V"], "mkfs.xfs is not installed (xfsprogs)").or_else(|| filesystem("xfs"))
}

/// The program that makes a btrfs, and a kernel that mounts one.
#[must_use]
pub fn mkfs_btrfs() -> Option<String> {
    missing("mkfs.btrfs", &["--version"], "mkfs.btrfs is not installed (btrfs-progs)")
        .or_else(|| filesystem("btrfs"))
}

fn filesystem(name: &str) -> Option<String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.split_whitespace().last() == Some(name)) {
        return None;
    }
    // Perhaps a module that nobody has needed yet.
    missing("modprobe", &[name], &format!("the kernel has no {name}"))
}

/// The target plugins are compiled for.
#[must_use]
pub fn wasm_target() -> Option<String> {
    let output =
        Command::new("rustc").args(["--print", "sysroot"]).current_dir(crate::root()).output().ok()?;
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let target = Path::new(&sysroot).join("lib/rustlib/wasm32-unknown-unknown");
    (!target.exists())
        .then(|| "the wasm32-unknown-unknown target is not installed (cargo xtask setup)".into())
}

/// What a plugin in C is built with whose bindings are there: make, clang and lld, a C library for WebAssembly.
#[must_use]
pub fn c_compiler() -> Option<String> {
    missing("make", &["--version"], "make is not installed").or_else(linked_for_wasm)
}

/// What a guest in C is made with: make, clang and lld, a C library for WebAssembly, and the generator of bindings.
#[must_use]
pub fn c_guests() -> Option<String> {
    if crate::guest::wit_bindgen().is_none() {
        return Some("wit-bindgen is not installed (cargo xtask setup)".into());
    }
    missing("make", &["--version"], "make is not installed").or_else(linked_for_wasm)
}

/// What a guest in Python is made with.
#[must_use]
pub fn python_guests() -> Option<String> {
    missing("python3", &["--version"], "python3 is not installed")
        .or_else(|| missing("make", &["--version"], "make is not installed"))
        .or_else(|| tool(&crate::guest::componentize_py()))
}

/// What a guest in JavaScript is made with.
#[must_use]
pub fn js_guests() -> Option<String> {
    missing("npm", &["--version"], "npm is not installed").or_else(|| tool(&crate::guest::node_modules()))
}

fn tool(path: &Path) -> Option<String> {
    (!path.exists()).then(|| format!("{} is not there (cargo xtask setup)", path.display()))
}

/// A program with an allocator in it: that needs the library, the linker and the compiler's own functions.
fn linked_for_wasm() -> Option<String> {
    let mut clang = Command::new("clang")
        .args(["--target=wasm32-wasi", "-mexec-model=reactor", "-x", "c", "-", "-o", "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok();
    let reason = "clang, lld or wasi-libc is not installed (cargo xtask setup)".to_owned();
    let Some(clang) = &mut clang else { return Some(reason) };
    let program = b"#include <stdlib.h>\nvoid *keep(unsigned size) { return malloc(size); }\n";
    let told = clang.stdin.take().is_some_and(|mut stdin| stdin.write_all(program).is_ok());
    let linked = clang.wait().is_ok_and(|status| status.success());
    (!(told && linked)).then_some(reason)
}

fn missing(program: &str, args: &[&str], reason: &str) -> Option<String> {
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    (!status.is_ok_and(|status| status.success())).then(|| reason.into())
}
