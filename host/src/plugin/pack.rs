#![forbid(unsafe_code)]
//! `wxc plugin pack`: from what an author's toolchain made to the one file that is installed.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::admin::Shown;
use super::error::{Identity, PluginError};
use super::manifest::{Manifest, ManifestError};
use super::{Plugins, compiler, files};

/// A longer manifest is refused; the longest sensible one has a few dozen command templates.
const MAX_MANIFEST: u64 = 64 << 10;

impl Plugins {
    /// Makes a component of a core module (one that is a component already stays as it is), puts the manifest into it,
    /// looks whether it is a plugin that this wxc could use, and writes it to `out`, or to `NAME.wasm` in the
    /// current directory. Returns where it is and what it can do.
    ///
    /// # Errors
    /// When the manifest or the component cannot be used, or the file cannot be written. `out` is then what it was.
    pub fn pack(
        &self,
        built: &Path,
        manifest: &Path,
        out: Option<&Path>,
    ) -> Result<(PathBuf, Shown), PluginError> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(|source| io("find", path, source));
        let text = read_manifest(manifest)?;
        let parsed = Manifest::parse(&text)
            .map_err(|source| PluginError::Manifest { name: manifest.display().to_string(), source })?;
        let prefix = format!("{}-", parsed.kind);
        if !parsed.name.starts_with(&prefix) {
            // People leave the kind out, and we put it in front.
            let why = format!("the name of a {} begins with {prefix}", parsed.kind);
            let source = ManifestError::Value { field: "name".into(), why };
            return Err(PluginError::Manifest { name: manifest.display().to_string(), source });
        }
        let built_there = absolute(built)?;
        // The compiler would say so, too, but not which of the two files.
        fs::File::open(&built_there).map_err(|source| io("read", built, source))?;
        let component = compiler::encode(self.places.compiler.as_deref(), &built_there, &absolute(manifest)?)
            .map_err(|why| PluginError::Pack { path: built.to_owned(), why })?;
        let known = self.examine_bytes(&parsed.name, &component)?;
        let interface = parsed.kind.interface();
        if !known.exports(interface) {
            let plugin = Identity { name: parsed.name, version: parsed.version };
            return Err(PluginError::Lacks { plugin, interface: interface.to_owned() });
        }
        let out = out.map_or_else(|| PathBuf::from(format!("{}.wasm", parsed.name)), Path::to_owned);
        files::replace(&absolute(&out)?, &component, 0o644)?;
        let shown = self.shown(&parsed.name, None, Some(out.clone()), &known)?;
        Ok((out, shown))
    }
}

fn read_manifest(path: &Path) -> Result<String, PluginError> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_MANIFEST + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > MAX_MANIFEST => {
            Err(io("use", path, std::io::Error::other("a manifest has at most 64 KiB")))
        }
        Ok(_) => Ok(text),
        Err(source) => Err(io("read", path, source)),
    }
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> PluginError {
    PluginError::Io { doing, path: path.to_owned(), source }
}
