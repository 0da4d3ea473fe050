#![forbid(unsafe_code)]
//! What one process of wxc gives the next one: data as JSON in sealed memory, under a known number.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use serde::{Serialize, de::DeserializeOwned};

use super::RuntimeError;

/// Nobody can change it any more: what was checked stays what is carried out.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Longest handover in bytes. A plan with hundreds of mounts takes a tenth of it.
const LIMIT: u64 = 16 << 20;

/// `value` in a sealed memfd.
pub(super) fn seal(value: &impl Serialize) -> Result<OwnedFd, RuntimeError> {
    let fail = |error| RuntimeError::system("write the plan into sealed memory", error);
    let json = serde_json::to_vec(value).map_err(|error| fail(error.into()))?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("wxc-handover", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| memfd_create("wxc-handover", flags))
        .map_err(|error| fail(error.into()))?;
    let mut file = File::from(fd);
    file.write_all(&json).map_err(fail)?;
    fcntl_add_seals(&file, SEALS).map_err(|error| fail(error.into()))?;
    Ok(file.into())
}

/// What is in sealed memory; refused when that could still change.
pub(super) fn open<T: DeserializeOwned>(fd: BorrowedFd<'_>) -> Result<T, RuntimeError> {
    let fail = |error| RuntimeError::system("read the plan from sealed memory", error);
    let seals = fcntl_get_seals(fd).map_err(|error| fail(error.into()))?;
    if !seals.contains(SEALS) {
        return Err(protocol("the memory is not sealed"));
    }
    let file = File::from(fd.try_clone_to_owned().map_err(fail)?);
    let mut json = Vec::new();
    // The offset is shared with others who have this memory: read from the start.
    rustix::fs::seek(file.as_fd(), rustix::fs::SeekFrom::Start(0))
        .map_err(|error| fail(io::Error::from(error)))?;
    file.take(LIMIT).read_to_end(&mut json).map_err(fail)?;
    serde_json::from_slice(&json).map_err(|error| protocol(&error.to_string()))
}

fn protocol(message: &str) -> RuntimeError {
    RuntimeError::Protocol { peer: "the process that started this one".into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_again_and_again() {
        let fd = seal(&vec!["a", "b"]).unwrap();
        for _ in 0..2 {
            assert_eq!(open::<Vec<String>>(fd.as_fd()).unwrap(), ["a", "b"]);
        }
    }

    #[test]
    fn open_memory_is_refused() {
        let fd = memfd_create("open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let mut file = File::from(fd);
        file.write_all(b"[]").unwrap();
        assert!(open::<Vec<String>>(file.as_fd()).is_err());
    }
}
