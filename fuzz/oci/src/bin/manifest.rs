//! Indexes, manifests and configurations of layered images.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugin::fuzzing::manifest(bytes));
