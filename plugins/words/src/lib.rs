//! Words that several templates translate: architectures of Debian's, and what an image says into what a setting may be.
//!
//! Not a plugin: it is built into those that use it, and asks the host for nothing.
#![forbid(unsafe_code)]

/// Names of machines.
pub mod architecture;
/// Inputs of the fuzz targets.
pub mod fuzzed;
/// When something was, or will be.
pub mod moment;
/// Values and names that are good for a configuration.
pub mod setting;
