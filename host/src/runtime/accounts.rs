#![forbid(unsafe_code)]
//! Users and groups of a container, from its own account files.
//!
//! The files are the container's to write: they are read below its root, without following links out
//! of it, no further than a limit, and what does not parse is skipped.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};

/// Longest account file that is read, in bytes.
const LIMIT: u64 = 1 << 20;
/// Most groups that a user is in; the kernel's limit is 65536.
const GROUPS: usize = 1024;

/// A user of the container, as passwd(5) has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: Option<String>,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
    pub(super) shell: String,
}

/// The user with this name or number.
///
/// Digits alone are a number, whatever the container names its users: 1 is 1 and never 0
/// (CVE-2026-30892). `-1`, `0x0` and `4294967296` are names, and unknown ones. A number without
/// account is as good.
pub(super) fn find(root: BorrowedFd<'_>, user: &str) -> Option<Account> {
    let passwd = read(root, "etc/passwd").unwrap_or_default();
    let group = read(root, "etc/group").unwrap_or_default();
    parse(&passwd, &group, user)
}

/// The group with this name or number.
pub(super) fn find_group(root: BorrowedFd<'_>, group: &str) -> Option<u32> {
    let by_name = || {
        let text = read(root, "etc/group").unwrap_or_default();
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == group).then(|| fields.nth(1).and_then(number)).flatten()
        })
    };
    number(group).or_else(by_name)
}

fn parse(passwd: &str, group: &str, user: &str) -> Option<Account> {
    let wanted = number(user);
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        let (uid, gid) = (number(uid)?, number(gid)?);
        let same = wanted.map_or(name == user, |wanted| uid == wanted);
        same.then_some((name, uid, gid, home, shell))
    });
    let Some((name, user, primary, home, shell)) = found else {
        // As su(1) cannot, but a container without account files has users, too.
        return wanted.map(|user| Account {
            name: (user == 0).then(|| "root".to_owned()),
            user,
            group: user,
            groups: Vec::new(),
            home: "/".to_owned(),
            shell: String::new(),
        });
    };
    let groups = group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else { return None };
        members.split(',').any(|member| member == name).then(|| number(gid)).flatten()
    });
    Some(Account {
        name: Some(name.to_owned()),
        user,
        group: primary,
        groups: groups.take(GROUPS).collect(),
        home: if home.is_empty() { "/".to_owned() } else { home.to_owned() },
        shell: shell.to_owned(),
    })
}

/// Digits only: `parse` would take a sign. The highest number means "no change" to the kernel.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number != u32::MAX)
}

fn read(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    // A FIFO would block the open, a device could do anything at the first read.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path_only = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&path_only)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let file = File::from(openat2(root, path, flags, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nbroken\nann:x:1000:100::/home/ann:/bin/zsh\n1:x:0:0::/:\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\nwheel:x:10:bob,ann\nbad:x:no:ann\n";

    #[test]
    fn names_and_numbers_are_found_with_their_groups() {
        let ann = parse(PASSWD, GROUP, "ann").unwrap();
        assert_eq!((ann.user, ann.group, ann.groups.as_slice()), (1000, 100, &[10][..]));
        assert_eq!(parse(PASSWD, GROUP, "1000").unwrap(), ann);
        assert_eq!(parse(PASSWD, GROUP, "nobody"), None);
    }

    #[test]
    fn a_number_is_never_another_number() {
        assert_eq!(parse("", "", "1").unwrap().user, 1);
        assert_eq!(parse(PASSWD, GROUP, "1").unwrap().user, 1, "not the user who is named so");
        for text in ["-1", "+1", "0x1", "1 ", "", "4294967295", "4294967296", "1e0"] {
            assert_eq!(parse("", "", text), None, "{text:?}");
        }
    }
}
