//! From what a guest's toolchain makes to the one file that is installed.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as LIBC,
};
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasmparser::Parser;
use wit_component::ComponentEncoder;
use wxc_engine::facts::MANIFEST_SECTION;

use crate::inspect::{self, InspectError};

/// Why no plugin could be made of a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error(
        "cannot make a component of the module (was it linked with the component type that wit-bindgen \
         makes: `export!` in Rust, the object file WORLD_component_type.o in C?): {0}"
    )]
    Component(String),
    #[error("neither a WebAssembly module nor a component")]
    NotWasm,
    #[error("the component carries a manifest already, and it is not the one given")]
    OtherManifest,
    #[error(transparent)]
    Inspect(#[from] InspectError),
}

/// Makes a component of a core module (a component stays as it is) and puts the manifest into it.
///
/// What a C library expects of its system (`printf`, `time`) is put between it and the interfaces of WASI 0.2 by an adapter,
/// the usual one; what those answer is the host's affair. It is left out where nothing is expected.
pub(crate) fn encode(wasm: &[u8], manifest: &str) -> Result<Vec<u8>, EncodeError> {
    let mut component = if Parser::is_component(wasm) {
        wasm.to_vec()
    } else if Parser::is_core_wasm(wasm) {
        let describe = |e| EncodeError::Component(format!("{e:#}"));
        let mut encoder = ComponentEncoder::default()
            .validate(true)
            .module(wasm)
            .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, LIBC))
            .map_err(describe)?;
        encoder.encode().map_err(describe)?
    } else {
        return Err(EncodeError::NotWasm);
    };
    let carried = inspect::inspect(&component)?.manifest;
    if carried.is_empty() {
        let section = CustomSection { name: MANIFEST_SECTION.into(), data: manifest.as_bytes().into() };
        section.append_to_component(&mut component);
    } else if carried != manifest {
        return Err(EncodeError::OtherManifest);
    }
    Ok(component)
}
