//! `wxc-compile`: the compiler of wxc, in a process of its own.
//!
//! ```text
//! wxc-compile encode CORE.wasm plugin.toml OUT.wasm     make a plugin of a core module or component
//! wxc-compile encode CORE.wasm plugin.toml -            the same, to standard output
//! wxc-compile compile [--baseline TRIPLE] < PLUGIN.wasm > ARTIFACT
//! wxc-compile compile --confined          < PLUGIN.wasm > ARTIFACT
//! ```
//!
//! `wxc` runs the last form once for a plugin that somebody installed. Input and output are
//! descriptors that it opened: this process needs no name in the file system and, confined, gives
//! up the means to use one. `wxc` links the output into place when the exit code is 0.
//!
//! - [`encode`]: from what a guest's toolchain makes to the one file that is installed
//! - [`inspect`]: exports, imports and manifest, read from the component's bytes
//! - [`compile`]: the component to machine code
//! - [`confine`]: what this process gives up before it looks at hostile input

mod compile;
mod confine;
mod encode;
mod inspect;

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// A plugin larger than this is refused: an interpreter with its library is a third of it.
const MAX_COMPONENT: u64 = 128 << 20;

const USAGE: &str = "usage:
  wxc-compile encode CORE.wasm plugin.toml OUT.wasm|-
  wxc-compile compile [--confined] [--baseline TRIPLE] < PLUGIN.wasm > ARTIFACT
  wxc-compile --version";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["encode", core, manifest, out] => encode_files(core, manifest, out),
        ["compile", options @ ..] => compile_stdio(options),
        ["--version" | "-V"] => {
            println!("wxc-compile {}", wxc_engine::config::stamp());
            Ok(())
        }
        _ => Err(Failure::Usage),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("wxc-compile: {}", Chain(&failure));
            ExitCode::FAILURE
        }
    }
}

fn encode_files(core: &str, manifest: &str, out: &str) -> Result<(), Failure> {
    let read = |path: &str| std::fs::read(path).map_err(|e| Failure::File("read", path.into(), e));
    let manifest_text = String::from_utf8(read(manifest)?).map_err(|_| Failure::NotText(manifest.into()))?;
    let component = encode::encode(&read(core)?, &manifest_text)?;
    if out == "-" {
        return io::stdout().write_all(&component).map_err(Failure::Output);
    }
    // Beside the target and renamed, so that a build that is stopped leaves no half file.
    let part = Path::new(out).with_extension("part");
    std::fs::write(&part, component).map_err(|e| Failure::File("write", part.display().to_string(), e))?;
    std::fs::rename(&part, out).map_err(|e| Failure::File("rename to", out.into(), e))
}

fn compile_stdio(options: &[&str]) -> Result<(), Failure> {
    let (mut confined, mut baseline) = (false, None);
    let mut rest = options.iter();
    while let Some(&option) = rest.next() {
        match option {
            "--confined" => confined = true,
            "--baseline" => baseline = Some(*rest.next().ok_or(Failure::Usage)?),
            _ => return Err(Failure::Usage),
        }
    }
    if confined {
        confine::confine().map_err(|(step, e)| Failure::Confine(step, e))?;
    }
    let mut component = Vec::new();
    io::stdin().take(MAX_COMPONENT + 1).read_to_end(&mut component).map_err(Failure::Input)?;
    if component.len() as u64 > MAX_COMPONENT {
        return Err(Failure::TooLarge);
    }
    let artifact = compile::compile(&component, baseline)?;
    io::stdout().write_all(&artifact).map_err(Failure::Output)
}

/// What can go wrong, as the administrator will read it through `wxc`.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{USAGE}")]
    Usage,
    #[error("cannot {0} {1}")]
    File(&'static str, String, #[source] io::Error),
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    #[error("cannot read the plugin from standard input")]
    Input(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("the plugin is larger than {} MiB", MAX_COMPONENT >> 20)]
    TooLarge,
    #[error("cannot confine the compiler: {0}")]
    Confine(&'static str, #[source] rustix::io::Errno),
    #[error(transparent)]
    Encode(#[from] encode::EncodeError),
    #[error(transparent)]
    Inspect(#[from] inspect::InspectError),
    #[error("the compiler refused the component")]
    Compile(#[source] wasmtime::Error),
}

/// An error with its causes on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
