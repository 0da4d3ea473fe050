//! Archives. What to begin with is written into the directory that `WXC_FUZZ_SEEDS` names.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        if let Some(directory) = std::env::var_os("WXC_FUZZ_SEEDS") {
            for (name, bytes) in fuzz_archive::seeds() {
                std::fs::write(std::path::Path::new(&directory).join(name), bytes).expect("a seed");
            }
        }
    },
    |bytes: &[u8]| fuzz_archive::archive(bytes)
);
