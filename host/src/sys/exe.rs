//! Our own executable: where it is, and an image of it that nobody can write to.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{self, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

/// The file that this process runs.
pub const SELF: &str = "/proc/self/exe";

/// Where that file is, as it was called when this was first asked: in another mount namespace the kernel may no
/// longer be able to tell.
#[must_use]
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| std::fs::canonicalize(SELF).unwrap_or_else(|_| SELF.into()))
}

/// The seals of a copy: neither it nor the seals can be changed any more.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// The executable at `path` as a file that can be executed but not written to by anybody.
///
/// A process of ours that a container's root can see must not run the installed file: it could be
/// overwritten through `/proc/PID/exe` (CVE-2019-5736). A view through a read-only overlay costs no
/// copy and shares its memory with every other process of wxc; where the kernel refuses that (no
/// overlay, an overlay upon too many others, a directory that is gone), it is a copy in sealed memory.
///
/// # Errors
/// As of the copy: open(2), memfd_create(2), sendfile(2).
pub fn sealed(path: &Path) -> io::Result<OwnedFd> {
    view(path).or_else(|_| copy(path))
}

/// The directory of the executable, as the only layer with content of an overlay without an upper:
/// there is nothing that could be made writable. The mount is in no tree and lives as long as what
/// was executed from it.
fn view(path: &Path) -> io::Result<OwnedFd> {
    let original = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let real = std::fs::canonicalize(path)?;
    let (Some(directory), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = fs::open(directory, flags, Mode::empty())?;
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // By its fd, as a path would need escapes. Without an upper an overlay wants two layers; what
    // the second one has is not looked at.
    let layers = format!("/proc/self/fd/{}:{EMPTY}", directory.as_raw_fd());
    fsconfig_set_string(&overlay, "lowerdir", layers)?;
    fsconfig_create(&overlay)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let seen = fs::openat(&mount, name, flags, Mode::empty())?;
    // The installed file may have been replaced since this process began.
    let (original, through) = (fs::fstat(&original)?, fs::fstat(&seen)?);
    let same = |stat: fs::Stat| (stat.st_ino, stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    if same(original) != same(through) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(seen)
}

/// A directory that is not below any other layer, as it is the root of its filesystem.
const EMPTY: &str = "/sys";

/// The executable, copied into sealed memory.
fn copy(path: &Path) -> io::Result<OwnedFd> {
    let from = fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Since Linux 6.3 a memfd should say whether it is meant to be executed.
    let to = fs::memfd_create("wxc", flags | MemfdFlags::EXEC).or_else(|_| fs::memfd_create("wxc", flags))?;
    loop {
        if fs::sendfile(&to, &from, None, 0x7fff_f000)? == 0 {
            break;
        }
    }
    fs::fcntl_add_seals(&to, SEALS)?;
    Ok(to)
}

/// Takes this program's code out of this process's memory; what is executed next comes back from
/// the page cache, page by page. For a process that has done its work and now waits for long.
///
/// # Errors
/// As reading `/proc/self/maps` and madvise(2); nothing is lost then.
pub fn let_go_of_code() -> io::Result<()> {
    for (start, length) in code(&std::fs::read_to_string("/proc/self/maps")?) {
        // SAFETY: a private mapping of a file that was never writable (see `code`): its pages are what the
        // file has, and fault in again as that (madvise(2), MADV_DONTNEED), also under this very code.
        let done =
            unsafe { libc::madvise(std::ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Start and length of the mappings that hold code of files, in a text as proc_pid_maps(5) has it. Those that
/// are readable only may have been written to before, by the start-up code that relocates.
fn code(maps: &str) -> Vec<(usize, usize)> {
    let range = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (range, mode) = (words.next()?, words.next()?);
        let inode = words.nth(2)?;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let (start, end) = (address(start)?, address(end)?);
        (mode == "r-xp" && inode != "0").then_some((start, end.checked_sub(start)?))
    };
    maps.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever may open files for writing gets an error, also through the fd's link in `/proc`.
    fn refuses_writers(image: &OwnedFd) {
        let link = format!("/proc/self/fd/{}", image.as_raw_fd());
        for flags in [OFlags::WRONLY, OFlags::RDWR, OFlags::WRONLY | OFlags::TRUNC] {
            let opened = fs::open(&link, flags, Mode::empty());
            let written = opened.and_then(|file| rustix::io::write(file, b"x"));
            assert!(written.is_err(), "{flags:?}");
        }
        assert_eq!(std::fs::read(&link).unwrap(), std::fs::read(SELF).unwrap());
    }

    #[test]
    fn only_code_of_files_is_let_go_of() {
        let maps = "\
            00400000-005f3000 r--p 00000000 fe:00 7 /usr/bin/wxc\n\
            005f4000-00c71000 r-xp 001f3000 fe:00 7 /usr/bin/a name\n\
            00c71000-00cab000 r--p 0086f000 fe:00 7 /usr/bin/wxc\n\
            00d00000-00d01000 rwxp 00000000 fe:00 7 /usr/bin/wxc\n\
            7ffe0000-7ffe2000 r-xp 00000000 00:00 0 [vdso]\n";
        assert_eq!(code(maps), [(0x5f4000, 0x67d000)]);
        let_go_of_code().unwrap();
        assert!(!code(&std::fs::read_to_string("/proc/self/maps").unwrap()).is_empty());
    }

    #[test]
    fn the_copy_cannot_be_written_to() {
        refuses_writers(&copy(Path::new(SELF)).unwrap());
    }

    #[test]
    fn the_view_cannot_be_written_to() {
        match view(Path::new(SELF)) {
            Ok(image) => refuses_writers(&image),
            // An ordinary user may not mount, and gets no privileged container either.
            Err(error) => assert!(!rustix::process::geteuid().is_root(), "{error}"),
        }
    }

    #[test]
    fn a_file_that_took_the_place_of_ours_is_not_executed() {
        let place = tempfile::tempdir().unwrap();
        let (installed, other) = (place.path().join("wxc"), place.path().join("other"));
        std::fs::write(&installed, "old").unwrap();
        std::fs::write(&other, "new").unwrap();
        let running = fs::open(&installed, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        std::fs::rename(&other, &installed).unwrap();
        let link = format!("/proc/self/fd/{}", running.as_raw_fd());
        let image = sealed(Path::new(&link)).unwrap();
        let seen = std::fs::read(format!("/proc/self/fd/{}", image.as_raw_fd())).unwrap();
        assert_eq!(seen, b"old");
    }
}
