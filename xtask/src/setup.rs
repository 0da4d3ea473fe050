//! `cargo xtask setup`: installs what is missing, and says what it cannot install.
//!
//! No mirror is named here: rustup and apt use what the machine is configured for.

use std::path::Path;
use std::process::Command;

use crate::shell::{Result, output, run};
use crate::{interpreters, tools};

/// A system package: a file that shows it is there (any of them), its name, and what needs it.
struct Package {
    files: &'static [&'static str],
    name: &'static str,
    needed: Needed,
    why: &'static str,
}

/// For what; each includes those before it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Needed {
    Build,
    Test,
    Bench,
}

#[rustfmt::skip]
const PACKAGES: &[Package] = &[
    Package { files: &["/usr/bin/cc"], name: "gcc", needed: Needed::Build, why: "links Rust, compiles xz and zstd" },
    Package { files: &["/usr/lib/x86_64-linux-gnu/libc.a", "/usr/lib/aarch64-linux-gnu/libc.a", "/usr/lib/libc.a"], name: "libc6-dev", needed: Needed::Build, why: "the C library a static wxc-compile contains" },
    Package { files: &["/usr/bin/musl-gcc"], name: "musl-tools", needed: Needed::Build, why: "compiles xz and zstd for a static wxc" },
    Package { files: &["/usr/sbin/ip", "/sbin/ip", "/bin/ip"], name: "iproute2", needed: Needed::Test, why: "makes the bridge the network tests use" },
    Package { files: &["/usr/bin/unshare"], name: "util-linux", needed: Needed::Test, why: "gives a test a machine's network of its own" },
    Package { files: &["/usr/bin/newuidmap"], name: "uidmap", needed: Needed::Test, why: "gives an ordinary user's containers their ids" },
    Package { files: &["/usr/share/doc/busybox-static"], name: "busybox-static", needed: Needed::Test, why: "the smallest guest" },
    Package { files: &["/usr/bin/mmdebstrap"], name: "mmdebstrap", needed: Needed::Test, why: "makes the Debian guest" },
    Package { files: &["/usr/share/keyrings/debian-archive-keyring.gpg"], name: "debian-archive-keyring", needed: Needed::Test, why: "vouches for the Debian guest's packages" },
    Package { files: &["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"], name: "e2fsprogs", needed: Needed::Test, why: "makes disks with ext4" },
    Package { files: &["/usr/sbin/mkfs.xfs", "/sbin/mkfs.xfs"], name: "xfsprogs", needed: Needed::Test, why: "makes disks with xfs" },
    Package { files: &["/usr/bin/mkfs.btrfs", "/usr/sbin/mkfs.btrfs", "/sbin/mkfs.btrfs"], name: "btrfs-progs", needed: Needed::Test, why: "makes disks with btrfs" },
    Package { files: &["/usr/bin/zstd"], name: "zstd", needed: Needed::Test, why: "packs the Debian guest" },
    Package { files: &["/usr/bin/xz"], name: "xz-utils", needed: Needed::Test, why: "packs a guest" },
    Package { files: &["/usr/bin/mksquashfs"], name: "squashfs-tools", needed: Needed::Test, why: "writes images as servers have them" },
    Package { files: &["/usr/bin/gpg"], name: "gnupg", needed: Needed::Test, why: "signs lists of images" },
    Package { files: &["/usr/bin/ssh-keygen"], name: "openssh-client", needed: Needed::Test, why: "signs them in another way" },
    Package { files: &["/usr/bin/strace"], name: "strace", needed: Needed::Test, why: "counts how often a command waits for the disk" },
    Package { files: &["/usr/bin/rsync"], name: "rsync", needed: Needed::Bench, why: "what LXC copies containers with" },
    Package { files: &["/usr/bin/make"], name: "make", needed: Needed::Test, why: "builds the plugin in C" },
    Package { files: &["/usr/bin/clang"], name: "clang", needed: Needed::Test, why: "compiles the plugin in C" },
    Package { files: &["/usr/bin/wasm-ld"], name: "lld", needed: Needed::Test, why: "links the plugin in C" },
    Package { files: &["/usr/lib/wasm32-wasi/libc.a"], name: "wasi-libc", needed: Needed::Test, why: "the C library of the plugin in C" },
    Package { files: &["/usr/share/doc/libclang-rt-dev-wasm32"], name: "libclang-rt-dev-wasm32", needed: Needed::Test, why: "the compiler's own functions in the plugin in C" },
    Package { files: &["/usr/share/doc/python3-venv"], name: "python3-venv", needed: Needed::Test, why: "installs what builds the plugin in Python" },
    Package { files: &["/usr/bin/npm", "/usr/local/bin/npm"], name: "npm", needed: Needed::Test, why: "installs what builds the plugin in JavaScript" },
    Package { files: &["/usr/sbin/debootstrap"], name: "debootstrap", needed: Needed::Bench, why: "makes a Debian as wxc is to do it faster" },
    Package { files: &["/usr/bin/wget"], name: "wget", needed: Needed::Bench, why: "what LXC downloads with" },
    Package { files: &["/usr/bin/time"], name: "time", needed: Needed::Bench, why: "says how much memory a command took" },
    Package { files: &["/usr/bin/lxc-start"], name: "lxc", needed: Needed::Bench, why: "what wxc is measured beside" },
];

pub(crate) fn setup(args: &[String]) -> Result<()> {
    prepare(if args.iter().any(|arg| arg == "--bench") { Needed::Bench } else { Needed::Test })
}

pub(crate) fn prepare(needed: Needed) -> Result<()> {
    toolchain()?;
    if needed >= Needed::Test {
        tools::prepare();
    }
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| package.needed <= needed)
        .filter(|package| !package.files.iter().any(|file| Path::new(file).exists()))
        .collect();
    let installed = packages(&missing);
    if needed >= Needed::Test {
        // With the package managers that were just installed.
        interpreters::prepare();
    }
    let Err(cause) = installed else {
        println!("setup: nothing is missing");
        return Ok(());
    };
    // What the build needs must be there; without the rest some tests skip, and say so.
    eprintln!("setup: {cause}; please install:");
    for package in &missing {
        eprintln!("  {:24} {}", package.name, package.why);
    }
    let fatal = missing.iter().any(|package| package.needed != Needed::Test);
    if fatal { Err("something the task cannot do without is missing".into()) } else { Ok(()) }
}

/// The plugins' target, wxc's own and the two components, for the toolchain that `rust-toolchain.toml` pins.
/// Named one by one, as rustup's automatic installation may be switched off.
fn toolchain() -> Result<()> {
    let wanted = ["wasm32-unknown-unknown".to_owned(), crate::shell::target()];
    let Some(targets) = output(Command::new("rustup").args(["target", "list", "--installed"])) else {
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
        let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
        return match wanted.iter().find(|target| !libraries.join(target).exists()) {
            None => Ok(()),
            Some(target) => {
                Err(format!("there is no rustup here: install the Rust standard library for {target}").into())
            }
        };
    };
    for target in wanted.iter().filter(|target| !targets.lines().any(|line| line == target.as_str())) {
        run(rustup(["target", "add", target]))?;
    }
    let components = output(Command::new("rustup").args(["component", "list", "--installed"]));
    for component in ["clippy", "rustfmt"] {
        if !components.as_deref().unwrap_or_default().lines().any(|line| line.starts_with(component)) {
            run(rustup(["component", "add", component]))?;
        }
    }
    Ok(())
}

fn rustup<const N: usize>(args: [&str; N]) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(args).current_dir(crate::shell::root());
    rustup
}

fn packages(missing: &[&Package]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("this is not a Debian-like system".into());
    }
    if output(Command::new("id").arg("-u")).is_none_or(|uid| uid.trim() != "0") {
        return Err("only root can install packages".into());
    }
    let names = missing.iter().map(|package| package.name);
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "--quiet=2", "--option=Dpkg::Use-Pty=0", "--yes", "--no-install-recommends"]);
        apt.args(names.clone());
        apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
        apt
    };
    // The machine's lists may be older than the mirror, or absent.
    run(install()).or_else(|_| {
        let mut update = Command::new("apt-get");
        update.args(["update", "--quiet=2"]);
        run(update)?;
        run(install())
    })
}
