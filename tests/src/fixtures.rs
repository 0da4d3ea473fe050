//! Guests, made once and kept below `target/fixtures` (`WXC_FIXTURES` names another place).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};

use crate::root;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    Plain,
    Gz,
    Xz,
    Zst,
    /// As servers for Incus have it, and no archive.
    Squashfs,
}

impl Packed {
    pub const ALL: [Self; 4] = [Self::Plain, Self::Gz, Self::Xz, Self::Zst];

    fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "tar",
            Self::Gz => "tar.gz",
            Self::Xz => "tar.xz",
            Self::Zst => "tar.zst",
            Self::Squashfs => "squashfs",
        }
    }
}

/// What the real guest is made of: an init, its bus, and a way to log in.
const PACKAGES: &[&str] = &["systemd", "systemd-sysv", "dbus", "login", "libpam-systemd", "iproute2"];

/// Somebody who can log in on a console, as `user` with the password `secret`.
const ACCOUNTS: &str = "--customize-hook=chroot \"$1\" sh -c \
    'useradd --create-home --shell /bin/bash user && echo user:secret | chpasswd'";

/// Changes when what is done to the trees below changes, so that old ones are not used.
const VERSION: u32 = 1;

/// Accounts of the small guest: root without a password, and a user.
const FILES: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:A user:/home/user:/bin/sh\n"),
    ("etc/group", "root:x:0:\ntty:x:5:\nuser:x:1000:\nstaff:x:50:user\n"),
    ("etc/shadow", "root::19000:0:99999:7:::\nuser::19000:0:99999:7:::\n"),
    ("etc/hostname", "guest\n"),
    // Busybox's init: a shell on the console, and nothing else of its own.
    ("etc/inittab", "::sysinit:/bin/true\nconsole::respawn:/bin/sh\n::ctrlaltdel:/bin/true\n"),
    ("etc/os-release", "ID=busybox\nPRETTY_NAME=\"Busybox guest\"\n"),
];

/// A directory with a root tree of busybox, owned by root as guests see it.
///
/// # Panics
/// When it cannot be made; `needs!(busybox)` says before whether it can.
pub fn busybox() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        let program = busybox_program().expect("needs!(busybox)");
        kept(&format!("busybox-{VERSION}"), |tree| plant(&program, tree)).expect("a busybox tree")
    })
}

/// The same tree as an archive.
///
/// # Panics
/// As [`busybox`].
#[must_use]
pub fn busybox_archive(packed: Packed) -> PathBuf {
    let tree = busybox();
    let name = format!("busybox-{VERSION}.{}", packed.suffix());
    kept(&name, |file| {
        let flag = match packed {
            Packed::Plain => "--no-auto-compress",
            Packed::Gz => "--gzip",
            Packed::Xz => "--xz",
            Packed::Zst => "--zstd",
            Packed::Squashfs => {
                let words = ["-quiet", "-no-progress", "-comp", "xz"];
                return run(Command::new("mksquashfs").args([tree, file]).args(words));
            }
        };
        command(
            "tar",
            ["--create", flag, "--numeric-owner", "--file"],
            &[file, Path::new("-C"), tree, Path::new(".")],
        )
    })
    .expect("an archive of the busybox tree")
}

/// A tar archive of small files, packed as servers have it.
///
/// # Panics
/// When there is no xz.
#[must_use]
pub fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let plain = archive.into_inner().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plain");
    fs::write(&file, plain).unwrap();
    let xz = Command::new("xz").args(["-c", "-0"]).arg(file).stdout(Stdio::piped()).output().unwrap();
    assert!(xz.status.success());
    xz.stdout
}

/// A static busybox of this machine.
///
/// # Errors
/// A sentence when there is none.
pub fn busybox_program() -> Result<PathBuf, String> {
    let found =
        ["/bin/busybox", "/usr/bin/busybox", "/sbin/busybox"].iter().map(PathBuf::from).find(|p| p.exists());
    let program = found.ok_or("there is no busybox (cargo xtask setup)")?;
    // One that is linked dynamically names its loader in the first page.
    let bytes = fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    let head = &bytes[..bytes.len().min(4096)];
    if head.windows(8).any(|window| window == b"/ld-linu" || window == b"/ld-musl") {
        return Err("busybox is not static (cargo xtask setup)".into());
    }
    Ok(program)
}

/// A Debian with systemd, dbus and login, as a `tar.zst` made by mmdebstrap from the packages of
/// this machine's own mirror, or of the one named in `WXC_TEST_MIRROR`.
///
/// # Errors
/// A sentence saying why there is none.
pub fn debian() -> Result<&'static Path, String> {
    static TREE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TREE.get_or_init(|| debian_of("bookworm")).as_deref().map_err(Clone::clone)
}

/// The same of a later release, whose systemd asks more of the kernel and of us.
///
/// # Errors
/// As [`debian`].
pub fn newer_debian() -> Result<&'static Path, String> {
    static TREE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TREE.get_or_init(|| debian_of("trixie")).as_deref().map_err(Clone::clone)
}

fn debian_of(suite: &str) -> Result<PathBuf, String> {
    let packages = PACKAGES.join(",");
    let name = format!("debian-{suite}-{}-{VERSION}.tar.zst", packages.replace(',', "-"));
    kept(&name, |file| {
        let mirror = mirror()?;
        if !Path::new("/usr/bin/mmdebstrap").exists() {
            return Err("there is no mmdebstrap (cargo xtask setup)".into());
        }
        let include = format!("--include={packages}");
        // A snapshot's lists have run out, and are as signed as ever.
        let old = "--aptopt=Acquire::Check-Valid-Until \"false\"";
        // mmdebstrap packs by the name's ending, which is that of the kept file.
        let words = ["--variant=minbase", &include, old, ACCOUNTS, suite];
        command("mmdebstrap", words, &[file, Path::new(&mirror)])
    })
}

/// Where Debian's packages come from here.
///
/// # Errors
/// There is none, with the reason.
pub fn mirror() -> Result<String, String> {
    if let Ok(mirror) = std::env::var("WXC_TEST_MIRROR") {
        return Ok(mirror);
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.lines().any(|line| line == "ID=debian") {
        return Err("this is no Debian; name a mirror (cargo xtask test --mirror URL)".into());
    }
    let lists =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let texts = std::iter::once(PathBuf::from("/etc/apt/sources.list"))
        .chain(lists)
        .filter(|path| path.extension().is_some_and(|end| end == "list" || end == "sources"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect::<Vec<_>>();
    texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb ")))
        .flat_map(str::split_whitespace)
        // The archive itself, and not what was set beside it for security or by others.
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
        .ok_or_else(|| "apt's sources name no Debian archive (cargo xtask test --mirror URL)".into())
}

/// A kept file or directory, made under another name and renamed, so that what is there is whole.
/// One process at a time.
fn kept(name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let folder =
        std::env::var_os("WXC_FIXTURES").map_or_else(|| root().join("target/fixtures"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Ok(path);
    }
    let text = |error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(&folder).map_err(text)?;
    let lock = File::create(folder.join(".lock")).map_err(text)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| text(error.into()))?;
    if path.exists() {
        return Ok(path);
    }
    let new = folder.join(format!("new-{name}"));
    if new.exists() {
        fs::remove_dir_all(&new).or_else(|_| fs::remove_file(&new)).map_err(text)?;
    }
    make(&new)?;
    fs::rename(&new, &path).map_err(text)?;
    Ok(path)
}

/// A busybox tree in a new directory.
fn plant(program: &Path, tree: &Path) -> Result<(), String> {
    let text = |error: io::Error| format!("{}: {error}", tree.display());
    for folder in
        ["bin", "sbin", "dev", "proc", "sys", "run", "tmp", "etc", "root", "home/user", "var/log", "usr/bin"]
    {
        fs::create_dir_all(tree.join(folder)).map_err(text)?;
    }
    fs::set_permissions(tree.join("tmp"), fs::Permissions::from_mode(0o1777)).map_err(text)?;
    fs::copy(program, tree.join("bin/busybox")).map_err(text)?;
    let list = Command::new(program).arg("--list").output().map_err(text)?;
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", tree.join("bin").join(applet)).map_err(text)?;
    }
    symlink("../bin/busybox", tree.join("sbin/init")).map_err(text)?;
    for (name, content) in FILES {
        fs::write(tree.join(name), content).map_err(text)?;
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(tree.join("home/user"), Some(1000), Some(1000)).map_err(text)?;
    }
    Ok(())
}

fn command<'a>(
    program: &str,
    words: impl IntoIterator<Item = &'a str>,
    paths: &[&Path],
) -> Result<(), String> {
    run(Command::new(program).args(words).args(paths))
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} failed: {last}")) }
}
