//! Lists of images, of either kind.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugin::fuzzing::index(bytes));
