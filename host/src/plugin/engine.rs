#![forbid(unsafe_code)]
//! The engine of this process.

use std::sync::OnceLock;

use wasmtime::Engine;

use super::error::PluginError;

static ENGINE: OnceLock<Engine> = OnceLock::new();

/// The one engine: made when the first plugin is needed (14 µs), never dropped.
///
/// # Errors
/// When wasmtime cannot run on this machine at all.
pub fn shared() -> Result<&'static Engine, PluginError> {
    if let Some(engine) = ENGINE.get() {
        return Ok(engine);
    }
    let fail = |e: wasmtime::Error| PluginError::Engine { doing: "starting", message: format!("{e:#}") };
    let engine = Engine::new(&wxc_engine::config().map_err(fail)?).map_err(fail)?;
    Ok(ENGINE.get_or_init(|| engine))
}
