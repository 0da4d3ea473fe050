//! Overlays: several directories, one over the other, as one file system.
//!
//! Layers are named by fds, through `/proc/self/fd`: the kernel takes values of up to 255 bytes, a path
//! of a pool may be longer, and a path would need escapes.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

/// Longest value that fsconfig(2) takes, with the NUL byte at its end.
const LONGEST_VALUE: usize = 256;

/// A value of an option, or none where the option is a flag.
pub type Value = Option<String>;

/// The options of an overlay: `lower` from top to bottom, and where there is a writable side its directory
/// and the kernel's work directory.
///
/// They are the same for the host and for every container, because a layer that was written in one may be mounted
/// in another. What an overlay notes in a layer is kept in `user.overlay.*` attributes, as a user namespace may not
/// write `trusted.*` ones. And a layer is only known by its place in the chain, never by an index
/// of its inodes: it is renamed when it is sealed, and may be copied.
#[must_use]
pub fn options(lower: Vec<String>, upper: Option<(String, String)>) -> Vec<(&'static str, Value)> {
    let joined = lower.join(":");
    let mut options: Vec<(&str, Value)> = if joined.len() < LONGEST_VALUE {
        vec![("lowerdir", Some(joined))]
    } else {
        // Since Linux 6.7 layers can be given one by one.
        lower.into_iter().map(|layer| ("lowerdir+", Some(layer))).collect()
    };
    if let Some((upper, work)) = upper {
        options.extend([("upperdir", Some(upper)), ("workdir", Some(work))]);
    }
    options.extend([("index", Some("off".to_owned())), ("userxattr", None)]);
    options
}

/// The name under which a process that holds `fd` tells it to the kernel.
#[must_use]
pub fn name(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Mounts an overlay that is attached nowhere and is gone with the fd. Without a writable side
/// it has at least two layers.
///
/// # Errors
/// As fsopen(2), fsconfig(2) and fsmount(2). `EPERM` without power over the namespace's mounts.
pub fn mount(
    lower: &[BorrowedFd<'_>],
    upper: Option<(BorrowedFd<'_>, BorrowedFd<'_>)>,
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let lower = lower.iter().map(|fd| name(*fd)).collect();
    for (key, value) in options(lower, upper.map(|(upper, work)| (name(upper), name(work)))) {
        match value {
            Some(value) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, key)?,
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

#[cfg(test)]
mod tests {
    use super::options;

    #[test]
    fn many_layers_are_given_one_by_one() {
        let layers = |count: u32| (0..count).map(|n| format!("/proc/self/fd/{n}")).collect::<Vec<_>>();
        let few = options(layers(2), None);
        assert_eq!(few[0], ("lowerdir", Some("/proc/self/fd/0:/proc/self/fd/1".into())));
        let many = options(layers(100), Some(("u".into(), "w".into())));
        assert_eq!(many.iter().filter(|(key, _)| *key == "lowerdir+").count(), 100);
        assert!(many.iter().all(|(key, _)| *key != "lowerdir"));
        assert!(many.contains(&("upperdir", Some("u".into()))) && many.contains(&("userxattr", None)));
    }
}
