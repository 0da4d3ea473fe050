//! Builds what wxc carries: the first-party plugins, compiled ahead of time.
//!
//! ```text
//! plugins/**     --cargo, wasm32-unknown-unknown-->  core module
//! host/compile   --cargo------------------------->   wxc-compile, also copied beside wxc
//!                  wxc-compile encode            ->  component with its manifest inside
//!                  wxc-compile compile --baseline->  machine code and facts, in OUT_DIR
//! OUT_DIR/embedded.rs: the table that plugin/embedded.rs includes
//! OUT_DIR/scaffold.rs: what `wxc plugin new` writes, of host/scaffold and wit
//! ```
//!
//! Both nested builds have a target directory of their own, `nested` beside the profiles: cargo holds a
//! lock on the one it is working in, and the compiler is always built optimised, once for debug and
//! release together, because it takes minutes.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// Where the first-party plugins are.
const PLACES: [&str; 2] = ["plugins", "plugins/hooks"];

/// Variables through which the outer build would reach into the inner ones: flags and wrappers
/// meant for another target, clippy standing in for the compiler, a job server that is not ours.
const SCRUBBED: &[&str] = &[
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "CARGO_ENCODED_RUSTDOCFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_RUSTFLAGS",
    "MAKEFLAGS",
    "CARGO_MAKEFLAGS",
    "CLIPPY_ARGS",
];

fn main() {
    if let Err(error) = run() {
        // One line per instruction: cargo shows each as an error of its own.
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let build = Build::from_env()?;
    build.watch()?;
    build.need_guest_target()?;
    let compiler = build.compiler()?;
    build.put_beside_wxc(&compiler)?;
    let modules = build.modules()?;
    let mut table = String::from("&[\n");
    for folder in build.plugins()? {
        let name = name_of(&folder)?;
        let artifact = build.plugin(&compiler, &modules, &folder, &name)?;
        writeln!(table, "    Embedded {{ name: {name:?}, artifact: include_bytes!({artifact:?}) }},")?;
    }
    table.push_str("]\n");
    fs::write(build.out.join("embedded.rs"), table)?;
    build.scaffold()
}

/// Where things are.
struct Build {
    /// Top of the repository.
    top: PathBuf,
    /// This build script's own output directory.
    out: PathBuf,
    /// Where wxc will be: `<target>/<triple>/debug`, or `release`.
    profile: PathBuf,
    /// Target directories of the nested builds.
    nested: PathBuf,
    /// The triple that wxc is built for.
    triple: String,
    /// That of this machine, for the compiler: with another C library it is the same compiler.
    machine: String,
}

impl Build {
    fn from_env() -> Result<Self, Box<dyn Error>> {
        let path = |name| std::env::var_os(name).map(PathBuf::from).ok_or(format!("{name} is not set"));
        let (manifest, out) = (path("CARGO_MANIFEST_DIR")?, path("OUT_DIR")?);
        let triple = std::env::var("TARGET")?;
        let arch = |triple: &str| triple.split('-').next().map(str::to_owned);
        let machine = std::env::var("HOST")?;
        if arch(&triple) != arch(&machine) {
            // wxc-compile is run by this script, and has the code generator of one architecture.
            return Err(format!("wxc for {triple} has to be built on a machine of that architecture").into());
        }
        // <target>/<triple>/<profile>/build/<package>/out; cargo puts its cache tag above the profiles.
        let profile = out.ancestors().nth(3).ok_or("OUT_DIR is not inside a target directory")?;
        let target = out
            .ancestors()
            .find(|p| p.join("CACHEDIR.TAG").exists())
            .ok_or("the target directory has no CACHEDIR.TAG")?;
        Ok(Self {
            top: manifest.parent().ok_or("host/ has no parent directory")?.to_owned(),
            profile: profile.to_owned(),
            nested: target.join("nested"),
            out,
            triple,
            machine,
        })
    }

    /// Everything the result depends on, so that a build without changes does not come here.
    fn watch(&self) -> Result<(), Box<dyn Error>> {
        let watched = |path: PathBuf| println!("cargo::rerun-if-changed={}", path.display());
        for file in
            ["build.rs", "scaffold", "engine", "compile/src", "compile/Cargo.toml", "compile/Cargo.lock"]
        {
            watched(self.top.join("host").join(file));
        }
        for file in [
            "wit",
            "Cargo.toml",
            "plugins/Cargo.toml",
            "plugins/Cargo.lock",
            "plugins/image-metadata/src",
            "plugins/image-metadata/Cargo.toml",
            "plugins/hooks/happenings/src",
            "plugins/hooks/happenings/Cargo.toml",
            "plugins/words/src",
            "plugins/words/Cargo.toml",
        ] {
            watched(self.top.join(file));
        }
        for folder in self.plugins()? {
            // Not the whole folder: an author's own `cargo test` there makes a target directory.
            for part in ["src", "wit", "Cargo.toml", "plugin.toml"] {
                let path = folder.join(part);
                if path.exists() {
                    watched(path);
                }
            }
        }
        Ok(())
    }

    /// The first-party plugins: every folder of `plugins/` and `plugins/hooks/` with a manifest, by name.
    fn plugins(&self) -> Result<Vec<PathBuf>, Box<dyn Error>> {
        let mut folders = Vec::new();
        for place in PLACES {
            for entry in fs::read_dir(self.top.join(place))? {
                let folder = entry?.path();
                if folder.join("plugin.toml").exists() {
                    folders.push(folder);
                }
            }
        }
        folders.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        Ok(folders)
    }

    /// Says what to do instead of letting the nested build end in "can't find crate for `std`".
    fn need_guest_target(&self) -> Result<(), Box<dyn Error>> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let asked = Command::new(rustc)
            .args(["--print", "target-libdir", "--target", GUEST_TARGET])
            .stderr(Stdio::null())
            .output()?;
        let libraries = String::from_utf8_lossy(&asked.stdout);
        if asked.status.success() && Path::new(libraries.trim()).exists() {
            return Ok(());
        }
        Err(format!(
            "the Rust target {GUEST_TARGET}, for which the plugins are built, is not installed\n\
             run `cargo xtask setup`, or `rustup target add {GUEST_TARGET}`"
        )
        .into())
    }

    /// Builds wxc-compile and returns where it is.
    fn compiler(&self) -> Result<PathBuf, Box<dyn Error>> {
        let target = self.nested.join("compile");
        self.cargo("host/compile", &target, &self.machine)?;
        Ok(target.join(&self.machine).join("release/wxc-compile"))
    }

    /// Builds the guests and returns the folder of their core modules.
    fn modules(&self) -> Result<PathBuf, Box<dyn Error>> {
        let target = self.nested.join("plugins");
        self.cargo("plugins", &target, GUEST_TARGET)?;
        Ok(target.join(GUEST_TARGET).join("release"))
    }

    fn cargo(&self, workspace: &str, target_dir: &Path, triple: &str) -> Result<(), Box<dyn Error>> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(self.top.join(workspace));
        cargo.args(["build", "--release", "--locked", "--target", triple, "--target-dir"]).arg(target_dir);
        for (name, _) in std::env::vars_os() {
            let profile = name.to_str().is_some_and(|n| n.starts_with("CARGO_PROFILE_"));
            if profile || SCRUBBED.iter().any(|s| name == *s) {
                cargo.env_remove(name);
            }
        }
        // What the inner cargo prints would be read as instructions to the outer one.
        cargo.stdout(Stdio::null());
        run_quietly(&mut cargo, &format!("building {workspace}"))
    }

    /// One plugin from core module to artifact; returns the artifact's path.
    fn plugin(
        &self,
        compiler: &Path,
        modules: &Path,
        folder: &Path,
        name: &str,
    ) -> Result<PathBuf, Box<dyn Error>> {
        let module = modules.join(name.replace('-', "_")).with_extension("wasm");
        let manifest = folder.join("plugin.toml");
        let component = self.out.join(name).with_extension("wasm");
        let artifact = self.out.join(name).with_extension("artifact");
        let mut encode = Command::new(compiler);
        encode.arg("encode").args([&module, &manifest, &component]);
        run_quietly(&mut encode, &format!("encoding the plugin {name}"))?;
        let mut compile = Command::new(compiler);
        compile.args(["compile", "--baseline", &self.triple]);
        compile.stdin(File::open(&component)?).stdout(File::create(&artifact)?);
        run_quietly(&mut compile, &format!("compiling the plugin {name}"))?;
        Ok(artifact)
    }

    /// The tables of what `wxc plugin new` writes.
    fn scaffold(&self) -> Result<(), Box<dyn Error>> {
        let mut table = String::from("Sources {\n");
        for (field, folder) in [("scaffold", "host/scaffold"), ("wit", "wit")] {
            let folder = self.top.join(folder);
            let mut files = Vec::new();
            list(&folder, &mut files)?;
            files.sort();
            writeln!(table, "    {field}: &[")?;
            for file in files {
                let path = file.strip_prefix(&folder)?;
                writeln!(table, "        ({path:?}, include_bytes!({file:?})),")?;
            }
            table.push_str("    ],\n");
        }
        table.push_str("}\n");
        fs::write(self.out.join("scaffold.rs"), table)?;
        Ok(())
    }

    /// `cargo build` is to leave both binaries in one folder, where wxc looks for its compiler.
    fn put_beside_wxc(&self, compiler: &Path) -> Result<(), Box<dyn Error>> {
        let (beside, part) = (self.profile.join("wxc-compile"), self.profile.join(".wxc-compile.part"));
        let age = fs::metadata(compiler)?.modified()?;
        fs::copy(compiler, &part)?;
        // With the age of the original: cargo would take a younger file for a change, every time.
        File::options().write(true).open(&part)?.set_modified(age)?;
        fs::rename(&part, &beside)?;
        println!("cargo::rerun-if-changed={}", beside.display());
        Ok(())
    }
}

/// A plugin is called as its folder is.
fn name_of(folder: &Path) -> Result<String, Box<dyn Error>> {
    let name = folder.file_name().and_then(|name| name.to_str());
    Ok(name.ok_or_else(|| format!("odd plugin name {}", folder.display()))?.to_owned())
}

/// What an author's own build or editor leaves in the scaffold's folders.
const LEFT_BEHIND: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// All files below a folder that belong to it.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || LEFT_BEHIND.contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Runs a step; what it printed is shown only when it fails.
fn run_quietly(command: &mut Command, what: &str) -> Result<(), Box<dyn Error>> {
    let done = command.stderr(Stdio::piped()).spawn().and_then(std::process::Child::wait_with_output);
    let done = done.map_err(|e| format!("{what}: cannot run {:?}: {e}", command.get_program()))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{what} failed ({})\n{}", done.status, String::from_utf8_lossy(&done.stderr)).into())
}
