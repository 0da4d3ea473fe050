//! Archives.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_archive::archive(bytes));
