//! What a component says of itself, read from its bytes.
//!
//! The author's own list could lie or be out of date. The import section cannot: what is not in it
//! is not reachable from inside the component.

use wasmparser::{BinaryReaderError, Parser, Payload};
use wxc_engine::facts::MANIFEST_SECTION;

/// Longer manifests are refused; the longest sensible one has a few dozen command templates.
const MAX_MANIFEST: usize = 64 << 10;
/// More names than any world has; each is kept and printed.
const MAX_NAMES: usize = 256;

/// Names and manifest of one component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    pub(crate) manifest: String,
}

/// Why a file is not a plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error("not a WebAssembly component")]
    Broken(#[from] BinaryReaderError),
    #[error("a core WebAssembly module, not a component; `wxc-compile encode` makes one of it")]
    CoreModule,
    #[error("the manifest in the component is longer than {} KiB", MAX_MANIFEST >> 10)]
    LongManifest,
    #[error("the manifest in the component is not UTF-8 text")]
    BinaryManifest,
    #[error("the component carries two manifests")]
    TwoManifests,
    #[error("the component has more than {MAX_NAMES} imports and exports")]
    ManyNames,
}

/// Reads the outermost component only: what is nested in it reaches the host through it.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Shape, InspectError> {
    let mut shape = Shape::default();
    let mut manifests = 0;
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding: wasmparser::Encoding::Module, .. } if depth == 0 => {
                return Err(InspectError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    shape.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    shape.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if depth == 0 && section.name() == MANIFEST_SECTION => {
                manifests += 1;
                shape.manifest = manifest(section.data())?;
            }
            _ => {}
        }
        if shape.imports.len() + shape.exports.len() > MAX_NAMES {
            return Err(InspectError::ManyNames);
        }
    }
    if manifests > 1 { Err(InspectError::TwoManifests) } else { Ok(shape) }
}

fn manifest(data: &[u8]) -> Result<String, InspectError> {
    if data.len() > MAX_MANIFEST {
        return Err(InspectError::LongManifest);
    }
    String::from_utf8(data.to_vec()).map_err(|_| InspectError::BinaryManifest)
}
