//! A component to machine code.

use wasmtime::Engine;
use wxc_engine::{Artifact, Cpu, Digest, Facts, Key};

use crate::{Failure, inspect};

/// Compiles for this machine's processor, or for the baseline of a target triple: code that
/// travels inside a binary must not use what only the build machine's processor has.
pub(crate) fn compile(component: &[u8], baseline: Option<&str>) -> Result<Vec<u8>, Failure> {
    let shape = inspect::inspect(component)?;
    let cpu = if baseline.is_some() { Cpu::Baseline } else { Cpu::Native };
    let mut config = wxc_engine::config().map_err(Failure::Compile)?;
    if let Some(triple) = baseline {
        config.target(triple).map_err(Failure::Compile)?;
    }
    let engine = Engine::new(&config).map_err(Failure::Compile)?;
    let code = engine.precompile_component(component).map_err(Failure::Compile)?;
    let digest = Digest::of(component);
    let facts = Facts {
        key: Key::of(&digest, cpu),
        digest,
        size: component.len() as u64,
        imports: shape.imports,
        exports: shape.exports,
        manifest: shape.manifest,
    };
    Ok(Artifact { code: &code, facts }.write())
}
