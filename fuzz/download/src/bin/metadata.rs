//! Metadata of an image, and the files that come of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugin::fuzzing::metadata(bytes));
