//! A failure as a fact: which step, which call, which errno. The words are added by the parent, which
//! has the same list of steps.

/// Names a call into the kernel.
///
/// The numbers travel between two processes of one executable image, so they need no stable values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Call {
    Bind,
    Chdir,
    Chown,
    CloseRange,
    Clone,
    Dup,
    Exec,
    Fchmod,
    Fsconfig,
    Fsmount,
    Fsopen,
    Fstat,
    Fstatfs,
    Ioctl,
    Keyctl,
    Mkdir,
    Mknod,
    MountSetattr,
    MoveMount,
    Open,
    OpenTree,
    Personality,
    PivotRoot,
    Prctl,
    Capset,
    Receive,
    Seccomp,
    Send,
    SetGroups,
    SetHostname,
    SetIds,
    Setns,
    Setsid,
    Sigaction,
    Symlink,
    Umount,
    Unshare,
    Write,
    /// Not a call: the program itself was wrong, e.g. a text outside of its data.
    Program,
    /// Not a call: the parent answered with another point than the one asked for.
    Rendezvous,
    /// Not a call: what was found is not what was expected (`/dev/null` is not a device).
    Check,
}

/// Every call with its name as in section 2 of the manual.
pub const CALLS: &[(Call, &str)] = &[
    (Call::Bind, "bind"),
    (Call::Chdir, "chdir"),
    (Call::Chown, "fchown"),
    (Call::CloseRange, "close_range"),
    (Call::Clone, "clone3"),
    (Call::Dup, "dup3"),
    (Call::Exec, "execve"),
    (Call::Fchmod, "fchmodat"),
    (Call::Fsconfig, "fsconfig"),
    (Call::Fsmount, "fsmount"),
    (Call::Fsopen, "fsopen"),
    (Call::Fstat, "fstat"),
    (Call::Fstatfs, "fstatfs"),
    (Call::Ioctl, "ioctl"),
    (Call::Keyctl, "keyctl"),
    (Call::Mkdir, "mkdirat"),
    (Call::Mknod, "mknodat"),
    (Call::MountSetattr, "mount_setattr"),
    (Call::MoveMount, "move_mount"),
    (Call::Open, "openat2"),
    (Call::OpenTree, "open_tree"),
    (Call::Personality, "personality"),
    (Call::PivotRoot, "pivot_root"),
    (Call::Prctl, "prctl"),
    (Call::Capset, "capset"),
    (Call::Receive, "recvmsg"),
    (Call::Seccomp, "seccomp"),
    (Call::Send, "sendmsg"),
    (Call::SetGroups, "setgroups"),
    (Call::SetHostname, "sethostname"),
    (Call::SetIds, "setresuid"),
    (Call::Setns, "setns"),
    (Call::Setsid, "setsid"),
    (Call::Sigaction, "sigaction"),
    (Call::Symlink, "symlinkat"),
    (Call::Umount, "umount2"),
    (Call::Unshare, "unshare"),
    (Call::Write, "write"),
    (Call::Program, "program"),
    (Call::Rendezvous, "rendezvous"),
    (Call::Check, "check"),
];

impl Call {
    /// The name for a message.
    #[must_use]
    pub fn name(self) -> &'static str {
        CALLS.iter().find(|(call, _)| *call == self).map_or("unknown call", |(_, name)| name)
    }
}

/// What one call said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub call: Call,
    /// As in errno(3).
    pub errno: i32,
}

impl Fault {
    pub(crate) const fn new(call: Call, errno: i32) -> Fault {
        Fault { call, errno }
    }
}

pub(crate) type Outcome<T> = Result<T, Fault>;

/// The record that a failing child writes before it exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Index into the program's steps.
    pub step: u32,
    pub fault: Fault,
    /// The step was optional and the child went on.
    pub skipped: bool,
}

/// Marks a record of a step that was skipped.
const SKIPPED: u32 = 1 << 31;

impl Failure {
    /// Length of the record in bytes; a message of another length is something else.
    pub const SIZE: usize = 12;

    /// The record as bytes.
    #[must_use]
    pub fn encode(self) -> [u8; Self::SIZE] {
        let step = if self.skipped { self.step | SKIPPED } else { self.step };
        let [a, b, c, d] = step.to_ne_bytes();
        let [e, f, g, h] = (self.fault.call as u32).to_ne_bytes();
        let [i, j, k, l] = self.fault.errno.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// The record of `bytes`, if it is one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Failure> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *<&[u8; Self::SIZE]>::try_from(bytes).ok()?;
        let step = u32::from_ne_bytes([a, b, c, d]);
        let number = u32::from_ne_bytes([e, f, g, h]);
        let (call, _) = CALLS.iter().find(|(call, _)| *call as u32 == number)?;
        let errno = i32::from_ne_bytes([i, j, k, l]);
        Some(Failure {
            step: step & !SKIPPED,
            fault: Fault { call: *call, errno },
            skipped: step & SKIPPED != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_journey() {
        for (index, (call, _)) in CALLS.iter().enumerate() {
            let step = u32::try_from(index).expect("few calls");
            let failure = Failure { step, fault: Fault { call: *call, errno: 13 }, skipped: index % 2 == 0 };
            assert_eq!(Failure::decode(&failure.encode()), Some(failure));
        }
        assert_eq!(Failure::decode(&[0; 11]), None);
        assert_eq!(Failure::decode(&[0xff; 12]), None);
    }
}
