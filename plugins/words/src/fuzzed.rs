//! Inputs of the fuzz targets, for tests that feed them without a fuzzer.

use std::path::Path;

/// What lies in `fuzz/corpus` and `fuzz/found` for one target.
///
/// # Panics
/// When it cannot be read.
pub fn inputs(target: &str) -> Vec<Vec<u8>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let directories = ["corpus", "found"].map(|kind| top.join(kind).join(target));
    let entries = directories.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten();
    entries.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("an input")).collect()
}
