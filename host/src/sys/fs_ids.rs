//! Making files as somebody else: the ids that new files get, for as long as a guard lives.
//!
//! On an idmapped mount, and on file systems that belong to a user namespace, the host's root has no id that a file could
//! have (`EOVERFLOW`). The container's root has, under the number that the host knows it by (setfsuid(2)). Nobody inside gets a
//! hold of this process by that: signals and ptrace(2) look at the other ids, which stay.

use std::io;

use rustix::process::{Signal, parent_process_death_signal, set_parent_process_death_signal};
use rustix::thread::{CapabilitiesSecureBits, capabilities_secure_bits, set_capabilities_secure_bits};

/// The calling thread makes files as somebody else until this is dropped.
#[derive(Debug)]
pub struct FsIds {
    before: (u32, u32),
    /// The signal at the end of the parent, which a change of ids undoes (prctl(2)).
    signal: Option<Signal>,
    bits: CapabilitiesSecureBits,
}

impl FsIds {
    /// From now on new files belong to these ids, as the host knows them.
    ///
    /// # Errors
    /// This process may not: it has no power over these ids.
    pub fn take(user: u32, group: u32) -> io::Result<Self> {
        let (bits, signal) = (capabilities_secure_bits()?, parent_process_death_signal()?);
        // Without this the kernel takes the powers over files away with the user id 0 (capabilities(7)).
        set_capabilities_secure_bits(bits | CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
        let guard = Self { before: (set(user, libc::setfsuid), set(group, libc::setfsgid)), signal, bits };
        set_parent_process_death_signal(signal)?;
        // These calls do not say whether they did anything; asking for an id that there is not tells what is set.
        let now = (set(u32::MAX, libc::setfsuid), set(u32::MAX, libc::setfsgid));
        if now == (user, group) { Ok(guard) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl Drop for FsIds {
    fn drop(&mut self) {
        set(self.before.0, libc::setfsuid);
        set(self.before.1, libc::setfsgid);
        set_parent_process_death_signal(self.signal).ok();
        // It was allowed a moment ago.
        set_capabilities_secure_bits(self.bits).ok();
    }
}

/// The id before.
fn set(id: u32, call: unsafe extern "C" fn(u32) -> i32) -> u32 {
    // SAFETY: setfsuid and setfsgid take an integer and touch no memory.
    unsafe { call(id) }.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn files_are_somebody_elses_as_long_as_the_guard_lives() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, "").unwrap();
            let meta = std::fs::metadata(&path).unwrap();
            (meta.uid(), meta.gid())
        };
        {
            let _ids = FsIds::take(1234, 5678).unwrap();
            // In a directory of somebody else's: the powers of root are kept.
            assert_eq!(made("a"), (1234, 5678));
        }
        assert_eq!(made("b"), (0, 0));
    }
}
