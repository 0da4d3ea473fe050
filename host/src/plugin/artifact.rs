#![forbid(unsafe_code)]
//! From a plugin that was found to machine code that may be run.
//!
//! Built in: the bytes are in the binary. From a file: under the key of its digest in the cache, or
//! else compiled now. Whatever is wrong with a cached file (missing, cut short, another owner, made
//! by another version) is a miss, never an error: it can always be made again.

use std::ffi::OsString;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::Deserialize;
use wasmtime::Engine;
use wasmtime::component::Component;
use wxc_engine::artifact::{TRAILER, facts_length, parse_facts};
use wxc_engine::{Artifact, Cpu, Digest, Facts, Key};

use super::compiler;
use super::embedded::Embedded;
use super::error::PluginError;
use super::files;
use super::registry::{Found, Places, Source};
use crate::sys::native::{self, Vouched};
use crate::sys::trusted::{TrustedDir, TrustedFile};

/// A larger component is refused, as the compiler does.
const MAX_COMPONENT: u64 = 128 << 20;
/// Larger facts are not ours: 64 KiB of manifest and 256 names.
const MAX_FACTS: usize = 1 << 20;

/// A plugin with its facts, and its code at hand.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) facts: Facts,
    code: Code,
}

#[derive(Debug)]
enum Code {
    BuiltIn(&'static [u8]),
    Cached(TrustedFile),
    /// The whole artifact, as the compiler wrote it.
    Compiled(Vec<u8>),
}

/// Opens a plugin; compiles it if it has to be.
pub(super) fn open(found: &Found, places: &Places) -> Result<Opened, PluginError> {
    match &found.source {
        Source::BuiltIn(embedded) => open_built_in(embedded),
        Source::File(file) => {
            let component = read_component(found, file)?;
            open_bytes(&found.name, places, &component)
        }
    }
}

/// Where the code of a plugin comes from when it is first called.
#[derive(Debug)]
pub(super) enum CodeSource {
    /// It is at hand.
    Opened(Opened),
    /// The code of a file whose facts are known already.
    Later { found: Found, digest: Digest, key: Key, places: Places },
}

impl CodeSource {
    /// The component, ready to be instantiated.
    pub(super) fn component(&self, engine: &Engine, name: &str) -> Result<Component, PluginError> {
        let (found, digest, key, places) = match self {
            Self::Opened(opened) => return opened.component(engine, name),
            Self::Later { found, digest, key, places } => (found, digest, key, places),
        };
        if matches!(found.source, Source::File(_))
            && let Some(file) = cached_file(&places.cache, key, digest)
            && is_about(&file, key, digest)
        {
            return Code::Cached(file).component(engine, name);
        }
        let opened = open(found, places)?;
        if opened.facts.digest != *digest {
            let why = "its file was changed while it was being used".to_owned();
            return Err(PluginError::Compile { name: name.to_owned(), why });
        }
        opened.component(engine, name)
    }
}

impl Opened {
    /// The component, ready to be instantiated.
    pub(super) fn component(&self, engine: &Engine, name: &str) -> Result<Component, PluginError> {
        self.code.component(engine, name)
    }
}

impl Code {
    fn component(&self, engine: &Engine, name: &str) -> Result<Component, PluginError> {
        let loaded = match self {
            Self::BuiltIn(code) => native::from_memory(engine, code, Vouched::InThisBinary),
            Self::Compiled(artifact) => match Artifact::read(artifact) {
                Ok(artifact) => native::from_memory(engine, artifact.code, Vouched::OwnCompiler),
                Err(error) => Err(wasmtime::Error::msg(error.to_string())),
            },
            Self::Cached(file) => native::from_file(engine, file).or_else(|refused| {
                // A cache on a file system mounted `noexec` cannot be mapped, and can be read.
                let bytes = file.read(u64::MAX).map_err(|_| refused)?;
                let artifact = Artifact::read(&bytes).map_err(|e| wasmtime::Error::msg(e.to_string()))?;
                native::from_memory(engine, artifact.code, Vouched::TrustedFile)
            }),
        };
        loaded.map_err(|e| PluginError::Compile {
            name: name.to_owned(),
            why: format!("its compiled code does not fit this wxc: {e:#}"),
        })
    }
}

/// The facts of a component that nobody vouches for: the compiler reads it, confined. What it made is kept, so
/// that the first use is not slow.
pub(super) fn facts_of(name: &str, places: &Places, component: &[u8]) -> Result<Facts, PluginError> {
    open_bytes(name, places, component).map(|opened| opened.facts)
}

/// Opens a component that is not in any of the places.
pub(super) fn open_bytes(name: &str, places: &Places, component: &[u8]) -> Result<Opened, PluginError> {
    let digest = Digest::of(component);
    let key = Key::of(&digest, Cpu::Native);
    match cached(&places.cache, &key, &digest) {
        Some(opened) => Ok(opened),
        None => compile(name, places, component, &key),
    }
}

fn open_built_in(embedded: &'static Embedded) -> Result<Opened, PluginError> {
    let broken = |e| PluginError::Compile { name: embedded.name.into(), why: format!("embedded code: {e}") };
    let artifact = embedded.open().map_err(broken)?;
    Ok(Opened { facts: artifact.facts, code: Code::BuiltIn(artifact.code) })
}

fn read_component(found: &Found, file: &TrustedFile) -> Result<Vec<u8>, PluginError> {
    let path = found.path.clone().unwrap_or_default();
    file.read(MAX_COMPONENT).map_err(|source| PluginError::Io { doing: "read", path, source })
}

/// The artifact of a key, if it is there and can be trusted.
fn cached(cache: &Path, key: &Key, digest: &Digest) -> Option<Opened> {
    let file = cached_file(cache, key, digest)?;
    let facts = parse_facts(&read_facts(&file)?).ok()?;
    // The name is ours and the content could be another's: a restored backup, a renamed file.
    let fits = facts.key == *key && facts.digest == *digest;
    fits.then_some(Opened { facts, code: Code::Cached(file) })
}

fn cached_file(cache: &Path, key: &Key, digest: &Digest) -> Option<TrustedFile> {
    match TrustedDir::kept(cache).and_then(|dir| dir.file(&file_name(digest, key))) {
        Ok(file) => Some(file),
        Err(reason) => {
            tracing::debug!(%reason, "no compiled code in the cache");
            None
        }
    }
}

/// Whether a file is what its name says, for a caller that knows the rest of its facts.
fn is_about(file: &TrustedFile, key: &Key, digest: &Digest) -> bool {
    #[derive(Deserialize)]
    struct Which<'a> {
        digest: &'a str,
        key: &'a str,
    }
    let facts = read_facts(file);
    let which = facts.as_deref().and_then(|facts| serde_json::from_slice::<Which<'_>>(facts).ok());
    which.is_some_and(|which| which.digest == digest.as_str() && which.key == key.as_str())
}

/// The facts at the end of the file, without reading the code.
fn read_facts(file: &TrustedFile) -> Option<Vec<u8>> {
    let end = file.len().checked_sub(TRAILER as u64)?;
    let mut trailer = [0; TRAILER];
    file.as_file().read_exact_at(&mut trailer, end).ok()?;
    let length = facts_length(&trailer).filter(|&length| length <= MAX_FACTS)?;
    let mut facts = vec![0; length];
    file.as_file().read_exact_at(&mut facts, end.checked_sub(length as u64)?).ok()?;
    Some(facts)
}

fn compile(name: &str, places: &Places, component: &[u8], key: &Key) -> Result<Opened, PluginError> {
    let fail = |why: String| PluginError::Compile { name: name.to_owned(), why };
    let bytes = compiler::compile(places.compiler.as_deref(), component).map_err(fail)?;
    let facts = Artifact::read(&bytes).map_err(|e| fail(e.to_string()))?.facts;
    if facts.key != *key {
        return Err(fail("wxc-compile is of another version than wxc; install both together".into()));
    }
    // A cache that cannot be written costs the next run the same time again, and nothing else.
    if let Err(reason) = files::replace(&places.cache.join(file_name(&facts.digest, key)), &bytes, 0o600) {
        tracing::warn!(%reason, plugin = name, "cannot keep the compiled code");
    }
    Ok(Opened { facts, code: Code::Compiled(bytes) })
}

/// The digest is in the name for [`forget`]; the key alone says whether the code fits.
fn file_name(digest: &Digest, key: &Key) -> OsString {
    format!("{}.{}.artifact", digest.short(), key.as_str()).into()
}

/// Removes what was compiled from a component, for whatever engine and processor.
pub(super) fn forget(places: &Places, digest: &Digest) {
    let Ok(entries) = std::fs::read_dir(&places.cache) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("{}.", digest.short())) {
            // What cannot be removed takes up room and does nothing else.
            let _removed = std::fs::remove_file(entry.path());
        }
    }
}
