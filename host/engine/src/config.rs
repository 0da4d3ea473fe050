//! The engine's settings.
//!
//! Every setting here is part of an artifact's compatibility: wasmtime refuses code that was made
//! under another one. Defaults are kept wherever a measurement did not say otherwise, because the
//! defaults are the path its authors test most (memory reservation, guards, copy-on-write images).

use wasmtime::{Config, ModuleVersionStrategy};

/// Version of wxc, of wasmtime in full, and of this configuration with its code generator.
///
/// wasmtime itself compares its major version only, so code from a patch release with a known
/// miscompilation would still load; this string is compared in full, and is part of each key.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " wasmtime-48.0.8");

/// Changes whenever this file or the exact set of crates that generate code does.
///
/// Made at compile time from the text of both, so that it is the same in `wxc` and in
/// `wxc-compile` without a build script, and cannot be forgotten when a dependency is updated.
pub const BUILD_ID: u64 =
    fnv1a(fnv1a(FNV_BASIS, include_bytes!("config.rs")), include_bytes!("../../compile/Cargo.lock"));

/// The configuration for both producing and running plugins.
///
/// # Errors
/// When wasmtime does not accept the version string (longer than 255 bytes).
pub fn config() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // A deadline costs a fifth of code size and no measurable time. The other way to stop a guest,
    // fuel, has the same price and cannot be driven by a clock.
    config.epoch_interruption(true);
    // Nobody attaches a debugger to a plugin inside wxc; the symbols are a sixth of an artifact.
    config.debug_info(false);
    config.debug_symbols(false);
    // Tables for the system's unwinder, which nobody asks: wasmtime walks guests by their frame pointers. Each function would be
    // registered with it one by one, and musl's looks through all of them for each that is taken away: an interpreter's
    // ten thousands of functions cost a fifth of a second in every process that calls it.
    config.native_unwind_info(false);
    config.module_version(ModuleVersionStrategy::Custom(stamp()))?;
    Ok(config)
}

/// [`VERSION`] and [`BUILD_ID`] in one word, as it is written into artifacts.
#[must_use]
pub fn stamp() -> String {
    format!("{VERSION} {BUILD_ID:016x}")
}

/// Where [`fnv1a`] begins.
pub const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: an identity against mistakes, not against attackers. Who can write artifacts is decided
/// by the owner and mode of the file, never by this value.
#[must_use]
pub const fn fnv1a(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_names_the_wasmtime_that_is_linked() {
        let manifest = include_str!("../Cargo.toml");
        let number = VERSION.rsplit('-').next().unwrap();
        assert!(manifest.contains(&format!("wasmtime = {{ version = \"={number}\"")));
    }

    #[test]
    fn stamp_fits_what_wasmtime_allows() {
        assert!(config().is_ok());
        assert!(stamp().len() < 256);
    }

    #[test]
    fn fnv_matches_its_published_vector() {
        assert_eq!(fnv1a(FNV_BASIS, b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
