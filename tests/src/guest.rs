//! Plugins made for a test: a first-party one, changed in a line or two.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Run, env, root};

/// A change of a source file of the plugin: the file, what is there, what is to be there.
pub type Edit<'a> = (&'a str, &'a str, &'a str);

/// Builds a changed plugin into `folder`, as an author would: cargo, then `wxc-compile encode`.
///
/// # Panics
/// When the text to be changed is not there, or the plugin does not build.
pub fn changed(plugin: &str, edits: &[Edit], work: &Path, folder: &Path) -> PathBuf {
    let source = work.join(plugin);
    let from = [root().join("plugins/hooks"), root().join("plugins")].map(|place| place.join(plugin));
    let from = from.iter().find(|folder| folder.exists()).unwrap_or_else(|| panic!("there is no {plugin}"));
    Run::host("cp", ["-r".as_ref(), from.as_os_str(), source.as_os_str()]).ok();
    for (file, old, new) in edits {
        let file = source.join(file);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(text.contains(old), "{}: there is no {old:?}", file.display());
        fs::write(&file, text.replace(old, new)).expect("a copy can be written");
    }
    // Alone, with the versions that are known to be good.
    let manifest = source.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    // What it is built with stays where it is.
    let libraries = format!("path = \"{}/", from.parent().unwrap_or(from).display());
    let text = text.replace("path = \"../", &libraries);
    fs::write(&manifest, text + "\n[workspace]\n").expect("a copy can be written");
    fs::copy(root().join("plugins/Cargo.lock"), source.join("Cargo.lock")).expect("the plugins are locked");
    built(
        &source,
        &plugin.replace('-', "_"),
        &source.join("plugin.toml"),
        &folder.join(plugin).with_extension("wasm"),
    )
}

/// Builds a crate of a plugin into a component, as an author would: cargo, then `wxc-compile encode`.
///
/// # Panics
/// When it does not build.
pub fn built(source: &Path, module: &str, manifest: &Path, component: &Path) -> PathBuf {
    let target = root().join("target/fixtures/plugins");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(source).env_remove("RUSTFLAGS").env("RUSTUP_TOOLCHAIN", toolchain());
    cargo
        .args(["build", "--quiet", "--release", "--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(&target);
    Run::new(cargo).within(300).ok();
    let module = target.join("wasm32-unknown-unknown/release").join(module).with_extension("wasm");
    fs::create_dir_all(component.parent().unwrap_or(component)).expect("a folder for plugins");
    let mut encode = Command::new(env::wxc().with_file_name("wxc-compile"));
    encode.arg("encode").args([module.as_path(), manifest, component]);
    Run::new(encode).ok();
    component.to_owned()
}

/// The blocks of a page that belong to files (the word after the language is the file), written below a directory.
///
/// # Panics
/// When the page cannot be read, or a file not be written.
pub fn written_down(page: &Path, folder: &Path) {
    let text = fs::read_to_string(page).expect("a page");
    let mut blocks = text.split("\n```");
    // Outside and inside take turns.
    while let (Some(_), Some(block)) = (blocks.next(), blocks.next()) {
        let (head, body) = block.split_once('\n').unwrap_or((block, ""));
        let Some((_, name)) = head.split_once(' ') else { continue };
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap_or(folder)).expect("a folder for the page's files");
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(file, before + body + "\n").expect("a file of the page");
    }
}

/// `make` in a directory with a guest in C, which has all it needs but the tools.
///
/// # Panics
/// When there is no generator; `needs!(c_guests)` has looked.
#[must_use]
pub fn make(source: &Path) -> Run {
    let mut make = Command::new("make");
    // Its own words only: this may be running below another make, or cargo's job server.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("CFLAGS").env_remove("LDFLAGS");
    make.arg("-C").arg(source).arg(format!("WXC={}", env::wxc().display()));
    let generator = wit_bindgen().expect("needs!(c_guests)");
    make.arg(format!("WIT_BINDGEN={}", generator.display()));
    Run::new(make)
}

/// The generator of bindings for C: the one that `cargo xtask setup` keeps, or one in the search path.
#[must_use]
pub fn wit_bindgen() -> Option<PathBuf> {
    let ours = root().join("target/tools/bin/wit-bindgen");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path).map(|folder| folder.join("wit-bindgen"));
    std::iter::once(ours).chain(others).find(|file| file.is_file())
}

/// What puts Python into a component, where `cargo xtask setup` keeps it.
#[must_use]
pub fn componentize_py() -> PathBuf {
    root().join("target/tools/python/bin/componentize-py")
}

/// The packages that a plugin in JavaScript is built with, where `cargo xtask setup` keeps them.
#[must_use]
pub fn node_modules() -> PathBuf {
    root().join("target/tools/js/node_modules")
}

/// The toolchain of this checkout, also for a copy outside it.
#[must_use]
pub fn toolchain() -> String {
    std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| {
        let file = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap_or_default();
        file.split('"').nth(1).unwrap_or("stable").to_owned()
    })
}
