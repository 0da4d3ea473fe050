#![forbid(unsafe_code)]
//! Capabilities as the kernel counts them: bits of a set, up to the last one it knows.

use std::{io, path::Path};

use crate::config::capability::Capability;

/// A set of capabilities, bit by number, as `CapBnd:` in `/proc/PID/status` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilitySet(pub u64);

/// What can go wrong with capabilities.
#[derive(Debug, thiserror::Error)]
pub enum CapsError {
    #[error("the plan names a capability that does not exist: {0}")]
    Unknown(String),
    #[error("cannot learn from {LAST} which capabilities this kernel has: {source}")]
    Last { source: io::Error },
}

/// proc_sys_kernel(5).
const LAST: &str = "/proc/sys/kernel/cap_last_cap";

impl CapabilitySet {
    /// From the names of a plan.
    ///
    /// # Errors
    /// When a name is unknown.
    pub fn from_names(names: &[String]) -> Result<Self, CapsError> {
        names.iter().try_fold(Self::default(), |set, name| {
            let capability: Capability = name.parse().map_err(CapsError::Unknown)?;
            Ok(Self(set.0 | 1 << capability.number()))
        })
    }

    #[must_use]
    pub fn contains(self, number: u8) -> bool {
        number < 64 && self.0 & 1 << number != 0
    }

    /// The numbers up to `last` that are not in the set: what prctl(PR_CAPBSET_DROP) is called with.
    pub fn missing(self, last: u8) -> impl Iterator<Item = u8> {
        (0..=last).filter(move |number| !self.contains(*number))
    }
}

/// The highest capability of the running kernel.
///
/// # Errors
/// When the kernel's file cannot be read.
pub fn last() -> Result<u8, CapsError> {
    read_last(Path::new(LAST)).map_err(|source| CapsError::Last { source })
}

fn read_last(file: &Path) -> io::Result<u8> {
    std::fs::read_to_string(file)?
        .trim()
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_bits_and_the_rest_is_dropped() {
        let set = CapabilitySet::from_names(&["CAP_CHOWN".into(), "CAP_SYS_ADMIN".into()]).unwrap();
        assert_eq!(set, CapabilitySet(1 | 1 << 21));
        assert_eq!(set.missing(22).count(), 21);
        assert!(!set.contains(64));
        assert!(CapabilitySet::from_names(&["CAP_ALL".into()]).is_err());
    }

    #[test]
    fn this_kernel_has_a_last_one() {
        assert!(last().unwrap() >= 37, "a kernel of the last ten years");
    }
}
