#![forbid(unsafe_code)]
//! What one process of wxc gives the next one: data as JSON in sealed memory, under a known number.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

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
    let json = serde_json::to_vec(value)
        .map_err(|error| RuntimeError::system("write the plan into sealed memory", io::Error::from(error)))?;
    seal_bytes(&json)
}

/// `bytes` in a sealed memfd.
pub(super) fn seal_bytes(bytes: &[u8]) -> Result<OwnedFd, RuntimeError> {
    let fail = |error| RuntimeError::system("write into sealed memory", error);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("wxc-handover", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| memfd_create("wxc-handover", flags))
        .map_err(|error| fail(error.into()))?;
    let mut file = File::from(fd);
    file.write_all(bytes).map_err(fail)?;
    fcntl_add_seals(&file, SEALS).map_err(|error| fail(error.into()))?;
    Ok(file.into())
}

/// What is in sealed memory; refused when that could still change.
pub(super) fn open<T: DeserializeOwned>(fd: BorrowedFd<'_>) -> Result<T, RuntimeError> {
    serde_json::from_slice(&read(fd)?).map_err(|error| protocol(&error.to_string()))
}

/// The bytes in sealed memory.
pub(super) fn read(fd: BorrowedFd<'_>) -> Result<Vec<u8>, RuntimeError> {
    let fail = |error: io::Error| RuntimeError::system("read from sealed memory", error);
    let seals = fcntl_get_seals(fd).map_err(|error| fail(error.into()))?;
    if !seals.contains(SEALS) {
        return Err(protocol("the memory is not sealed"));
    }
    // Others have this memory, too, and with it the offset: read from places, not from there.
    let file = File::from(fd.try_clone_to_owned().map_err(fail)?);
    let length = file.metadata().map_err(fail)?.len().min(LIMIT);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0).map_err(fail)?;
    Ok(bytes)
}

fn protocol(message: &str) -> RuntimeError {
    RuntimeError::Protocol { peer: "the process that started this one".into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

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
