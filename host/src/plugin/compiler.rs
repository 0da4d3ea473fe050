#![forbid(unsafe_code)]
//! Starts `wxc-compile`, the only process of wxc that has a compiler in it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

/// Compiles a component for this machine, confined; returns the artifact or a sentence.
///
/// Input and output are files in memory that nobody else has a name for. The child has ended when
/// the output is read, so what is read is what it wrote, and stays so.
pub(super) fn compile(given: Option<&Path>, component: &[u8]) -> Result<Vec<u8>, String> {
    let mut input = memory("wxc-component").map_err(|e| format!("no memory for the component: {e}"))?;
    input
        .write_all(component)
        .and_then(|()| input.seek(SeekFrom::Start(0)))
        .map_err(|e| format!("no memory for the component: {e}"))?;
    run(given, |command| command.args(["compile", "--confined"]).stdin(input))
}

/// Makes a component of what an author's toolchain made, with the manifest inside; returns it or a sentence. Both
/// paths are absolute.
pub(super) fn encode(given: Option<&Path>, built: &Path, manifest: &Path) -> Result<Vec<u8>, String> {
    run(given, |command| command.arg("encode").args([built, manifest]).arg("-").stdin(Stdio::null()))
}

/// Runs it with these words and returns what it wrote.
fn run(given: Option<&Path>, words: impl FnOnce(&mut Command) -> &mut Command) -> Result<Vec<u8>, String> {
    let program = find(given)?;
    let said = |e: &dyn std::fmt::Display| format!("cannot run {}: {e}", program.display());
    let mut output = memory("wxc-compiled").map_err(|e| said(&e))?;
    let mut command = Command::new(&program);
    let child = words(&mut command)
        .env_clear()
        .current_dir("/")
        .stdout(output.try_clone().map_err(|e| said(&e))?)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| said(&e))?;
    let done = child.wait_with_output().map_err(|e| said(&e))?;
    if !done.status.success() {
        return Err(explain(&done));
    }
    let mut bytes = Vec::new();
    output.seek(SeekFrom::Start(0)).and_then(|_| output.read_to_end(&mut bytes)).map_err(|e| said(&e))?;
    Ok(bytes)
}

fn memory(name: &str) -> rustix::io::Result<File> {
    memfd_create(name, MemfdFlags::CLOEXEC).map(File::from)
}

/// What the compiler said, or which limit ended it.
fn explain(done: &std::process::Output) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match done.status.signal() {
        Some(libc::SIGXCPU | libc::SIGKILL) => "the compiler used up its 240 s of processor time".into(),
        Some(libc::SIGABRT | libc::SIGSEGV) => "the compiler used up its 1 GiB of memory, or crashed".into(),
        _ => {
            // On one line: some of the parser's messages are laid out over many.
            let text = String::from_utf8_lossy(&done.stderr);
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = text.trim_start_matches("wxc-compile: ");
            if text.is_empty() { done.status.to_string() } else { text.chars().take(500).collect() }
        }
    }
}

/// Beside the running executable, or where a package puts what people do not call.
fn find(given: Option<&Path>) -> Result<PathBuf, String> {
    let mut candidates: Vec<PathBuf> = given.map(Path::to_path_buf).into_iter().collect();
    if let Ok(me) = std::env::current_exe()
        && let Some(directory) = me.parent()
    {
        candidates.push(directory.join("wxc-compile"));
        candidates.push(directory.join("../libexec/wxc/wxc-compile"));
    }
    candidates.push("/usr/libexec/wxc/wxc-compile".into());
    candidates.push("/usr/lib/wxc/wxc-compile".into());
    let found = candidates.iter().find(|path| path.is_file()).cloned();
    found.ok_or_else(|| {
        let places: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
        format!("there is no wxc-compile (looked for {})", places.join(", "))
    })
}
