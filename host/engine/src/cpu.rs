//! Which processor features an artifact may use.

/// The processor an artifact was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// What every processor of the architecture has: for artifacts that travel inside the binary.
    Baseline,
    /// What this machine has: for artifacts made where they run.
    Native,
}

impl Cpu {
    /// The features in words, as they go into the key: a cache that several machines share (a home
    /// directory on a network, an image of a disk) then holds one artifact for each kind.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Cpu::Baseline => format!("{}-baseline", std::env::consts::ARCH),
            Cpu::Native => format!("{}+{}", std::env::consts::ARCH, native().join("+")),
        }
    }
}

/// The features that Cranelift looks for on this architecture, of those that are present.
#[cfg(target_arch = "x86_64")]
fn native() -> Vec<&'static str> {
    macro_rules! present {
        ($($name:tt),*) => {{
            let mut found = Vec::new();
            $(if std::arch::is_x86_feature_detected!($name) { found.push($name); })*
            found
        }};
    }
    present!(
        "cmpxchg16b",
        "sse3",
        "ssse3",
        "sse4.1",
        "sse4.2",
        "popcnt",
        "avx",
        "avx2",
        "fma",
        "avxvnni",
        "avx512vnni",
        "bmi1",
        "bmi2",
        "avx512bitalg",
        "avx512dq",
        "avx512f",
        "avx512vl",
        "avx512vbmi",
        "lzcnt"
    )
}

#[cfg(target_arch = "aarch64")]
fn native() -> Vec<&'static str> {
    macro_rules! present {
        ($($name:tt),*) => {{
            let mut found = Vec::new();
            $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })*
            found
        }};
    }
    present!("lse", "paca", "fp16", "dotprod", "i8mm")
}

/// Elsewhere nothing can be asked without unsafe code; the architecture alone is the key, and
/// wasmtime's own check of the settings refuses what does not fit.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn native() -> Vec<&'static str> {
    Vec::new()
}
