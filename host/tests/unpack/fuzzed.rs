//! What the fuzzer begins with and has found, fed to the unpacker without one; cut off, and with bits changed here and there.

/// The target itself.
#[allow(unreachable_pub, reason = "it is a crate of its own elsewhere")]
#[path = "../../../fuzz/archive/src/lib.rs"]
mod target;

use std::fs;
use std::path::Path;

use super::root;

#[test]
fn archives_that_nobody_would_make() {
    if !root() {
        return;
    }
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/found/archive");
    let found = fs::read_dir(found).into_iter().flatten().flatten();
    let found = found.map(|entry| fs::read(entry.path()).unwrap());
    for bytes in target::seeds().into_iter().map(|(_, bytes)| bytes).chain(found) {
        target::archive(&bytes);
        for at in (1..bytes.len()).step_by(97) {
            target::archive(&bytes[..at]);
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            target::archive(&other);
        }
    }
}
