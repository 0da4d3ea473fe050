//! Releases, lists of packages, and what is needed of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugin::fuzzing::packages(bytes));
