#![forbid(unsafe_code)]
//! Users and groups of a container, from its own account files (passwd(5), group(5)).
//!
//! The files are the container's to write: they are read below its root, without following links out
//! of it, if they are plain files, no further than a limit; and what does not parse is skipped.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use serde::{Deserialize, Serialize};

/// Longest account file in bytes.
const LIMIT: u64 = 1 << 20;
/// Longest line in bytes: a home directory or a shell is a path.
const LINE: usize = 4096;
/// Most groups that a user is in (`NGROUPS_MAX` of setgroups(2)).
const GROUPS: usize = 65_536;

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";

/// Why somebody cannot be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("there is no user {0:?}")]
    User(String),
    #[error("there is no group {0:?}")]
    Group(String),
    #[error("cannot read its /{path}: {source}")]
    File { path: &'static str, source: io::Error },
}

/// Somebody, as passwd(5) has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) name: Option<String>,
    pub(crate) user: u32,
    pub(crate) group: u32,
    /// All of them, the first one not repeated.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
    shell: String,
}

impl Account {
    /// What every system has.
    pub(crate) const SHELL: &str = "/bin/sh";

    pub(crate) fn shell(&self) -> &str {
        if self.shell.starts_with('/') { &self.shell } else { Self::SHELL }
    }

    /// Somebody without account. Not of root's group: a number that nobody gave rights has none.
    pub(crate) fn stranger(user: u32) -> Self {
        let name = (user == 0).then(|| "root".to_owned());
        Self { name, user, group: user, groups: Vec::new(), home: "/".to_owned(), shell: String::new() }
    }
}

/// The user with this name or number.
///
/// Digits alone are a number, whatever the container names its users: 1 is 1 and never 0
/// (CVE-2026-30892). `-1`, `0x0` and `4294967296` are names, and unknown ones. A number without
/// account, or in a container without readable files, is as good as any.
pub(crate) fn find(root: BorrowedFd<'_>, user: &str) -> Result<Account, AccountError> {
    let Some(wanted) = number(user) else {
        let passwd = read(root, PASSWD)?;
        let line = passwd_lines(&passwd).find(|line| line.name == user);
        let line = line.ok_or_else(|| AccountError::User(user.to_owned()))?;
        return Ok(line.account(&read(root, GROUP).unwrap_or_default()));
    };
    let passwd = read(root, PASSWD).unwrap_or_default();
    let found = passwd_lines(&passwd).find(|line| line.user == wanted);
    let group = || read(root, GROUP).unwrap_or_default();
    Ok(found.map_or_else(|| Account::stranger(wanted), |line| line.account(&group())))
}

/// The group with this name or number.
pub(crate) fn find_group(root: BorrowedFd<'_>, group: &str) -> Result<u32, AccountError> {
    if let Some(number) = number(group) {
        return Ok(number);
    }
    let text = read(root, GROUP)?;
    let found = group_lines(&text).find(|(name, ..)| *name == group);
    found.map(|(_, number, _)| number).ok_or_else(|| AccountError::Group(group.to_owned()))
}

/// A line of passwd(5).
struct Line<'a> {
    name: &'a str,
    user: u32,
    group: u32,
    home: &'a str,
    shell: &'a str,
}

impl Line<'_> {
    fn account(&self, groups: &str) -> Account {
        let member = |members: &str| members.split(',').any(|member| member == self.name);
        let groups = group_lines(groups)
            .filter(|(_, number, members)| member(members) && *number != self.group)
            .map(|(_, number, _)| number);
        Account {
            name: Some(self.name.to_owned()),
            user: self.user,
            group: self.group,
            groups: groups.take(GROUPS).collect(),
            home: if self.home.starts_with('/') { self.home } else { "/" }.to_owned(),
            shell: self.shell.to_owned(),
        }
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    // No text of a container reaches a system call with a NUL in it.
    text.lines().filter(|line| line.len() <= LINE && !line.contains('\0'))
}

fn passwd_lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (user, group) = (number(fields.nth(1)?)?, number(fields.next()?)?);
        let (home, shell) = (fields.nth(1)?, fields.next()?);
        fields.next().is_none().then_some(Line { name, user, group, home, shell })
    })
}

/// Name, number and members.
fn group_lines(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    // Not limited as lines of passwd(5) are: a group may have thousands of members.
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name, number(fields.nth(1)?)?, fields.next().unwrap_or_default()))
    })
}

/// Digits only: `parse` would take a sign. The highest number means "no change" to the kernel.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number != u32::MAX)
}

fn read(root: BorrowedFd<'_>, path: &'static str) -> Result<String, AccountError> {
    read_file(root, path).map_err(|source| AccountError::File { path, source })
}

fn read_file(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // Only the place at first: to open a device or a FIFO already does something.
    let place = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file"));
    }
    // What was looked at, and not what is there now.
    let same = format!("/proc/self/fd/{}", place.as_raw_fd());
    let file = File::from(rustix::fs::open(same, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is longer than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nann:x:1000:100::/home/ann:/bin/zsh\n\
                         1:x:0:0::/:\nall:x:4294967295:0::/:/bin/sh\nrel:x:7:7::home:sh\n";
    const GROUPS: &str = "root:x:0:\nusers:x:100:ann\nwheel:x:10:bob,ann\nbad:x:no:ann\nshort:x:11\n";

    fn world() -> (tempfile::TempDir, File) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("etc")).unwrap();
        fs::write(directory.path().join(PASSWD), USERS).unwrap();
        fs::write(directory.path().join(GROUP), GROUPS).unwrap();
        let root = File::open(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn names_and_numbers_are_found_with_their_groups() {
        let (_directory, root) = world();
        let ann = find(root.as_fd(), "ann").unwrap();
        assert_eq!((ann.user, ann.group, ann.groups.as_slice()), (1000, 100, &[10][..]));
        assert_eq!((ann.home.as_str(), ann.shell()), ("/home/ann", "/bin/zsh"));
        assert_eq!(find(root.as_fd(), "1000").unwrap(), ann);
        let error = find(root.as_fd(), "nobody").unwrap_err();
        assert_eq!(error.to_string(), r#"there is no user "nobody""#);
        assert_eq!(find_group(root.as_fd(), "wheel").unwrap(), 10);
        assert_eq!(find_group(root.as_fd(), "short").unwrap(), 11);
        assert!(find_group(root.as_fd(), "bad").is_err());
    }

    #[test]
    fn a_number_is_never_another_number() {
        let (_directory, root) = world();
        let one = find(root.as_fd(), "1").unwrap();
        assert_eq!((one.user, one.group), (1, 1), "not the user who is named so");
        for text in ["-1", "+1", "0x1", "1 ", "", "4294967295", "4294967296", "1e0", "all"] {
            assert!(find(root.as_fd(), text).is_err(), "{text:?}");
            assert!(find_group(root.as_fd(), text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_path_is_not_used() {
        let (_directory, root) = world();
        let relative = find(root.as_fd(), "rel").unwrap();
        assert_eq!((relative.home.as_str(), relative.shell()), ("/", "/bin/sh"));
    }

    #[test]
    fn only_short_plain_files_are_read() {
        let (directory, root) = world();
        let passwd = directory.path().join(PASSWD);
        let refused = || {
            assert!(matches!(find(root.as_fd(), "ann"), Err(AccountError::File { .. })));
            assert_eq!(find(root.as_fd(), "1000").unwrap().user, 1000, "a number needs no file");
        };
        fs::write(&passwd, USERS.repeat((1 << 20) / USERS.len() + 1)).unwrap();
        refused();
        fs::remove_file(&passwd).unwrap();
        refused();
        rustix::fs::mknodat(rustix::fs::CWD, &passwd, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        refused();
        fs::remove_file(&passwd).unwrap();
        // Below the root there is no such file, wherever the link would lead on the host.
        symlink("/etc/passwd-of-nobody", &passwd).unwrap();
        refused();
        fs::remove_file(&passwd).unwrap();
        symlink("/etc", &passwd).unwrap();
        refused();
    }
}
