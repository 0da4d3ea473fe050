//! The unpacker from outside: real archives and directories through the real helper process.

/// Archives made by hand, honest and not.
mod archive;

/// What is attacked and how: every line is a way in that some unpacker had.
mod hostile;

/// What must arrive unchanged.
mod faithful;

/// Images of squashfs, honest and not.
mod squashfs;

/// Archives that are broken, too large, or do not fit on the disk.
mod limits;

/// Directories as the source, and what walks over trees.
mod trees;

/// What a template renders, and removing.
mod render;

/// Sections of an export.
mod export;

/// What a fuzzer was given.
mod fuzzed;

/// A caller without privileges.
mod unprivileged;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use wxc::unpack::{IdMapMode, Options, Report, Request, Source, UnpackError, run_with};

/// An empty target beside a file that nothing may touch.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("target")).unwrap();
        std::fs::write(dir.path().join("victim"), "untouched").unwrap();
        Self { dir }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.target().join(below)
    }

    /// Unpacks bytes with the usual options of a container made by root.
    fn unpack(&self, archive: &[u8]) -> Result<Report, UnpackError> {
        self.unpack_as(archive, &options())
    }

    fn unpack_as(&self, archive: &[u8], options: &Options) -> Result<Report, UnpackError> {
        let path = self.dir.path().join("archive");
        std::fs::write(&path, archive).unwrap();
        let result = unpack_file(&path, &self.target(), options);
        self.check_outside();
        result
    }

    fn check_outside(&self) {
        let names: Vec<_> =
            std::fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(
            names.iter().all(|n| ["target", "victim", "archive", "source"].iter().any(|k| n == k)),
            "{names:?}"
        );
        assert_eq!(std::fs::read(self.dir.path().join("victim")).unwrap(), b"untouched");
    }
}

fn options() -> Options {
    Options::new(IdMapMode::AsIs { max: 65536 })
}

fn unpack_file(archive: &Path, target: &Path, options: &Options) -> Result<Report, UnpackError> {
    let source = File::open(archive).unwrap();
    request(Source::Archive(source.as_fd()), target, options)
}

fn request(source: Source<'_>, target: &Path, options: &Options) -> Result<Report, UnpackError> {
    let target = File::open(target).unwrap();
    let request = Request { source, target: target.as_fd(), options: options.clone() };
    run_with(helper(), &request, &mut |_| {}, &AtomicBool::new(false))
}

fn helper() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wxc"))
}

/// Tells that the running test does not run: into the file that whoever counts has named.
fn skip(reason: &str) {
    let line = format!("SKIPPED {}: {reason}\n", std::thread::current().name().unwrap_or("?"));
    let told = std::env::var_os("WXC_TEST_SKIPS").and_then(|file| {
        let mut file = File::options().append(true).create(true).open(file).ok()?;
        file.write_all(line.as_bytes()).ok()
    });
    if told.is_none() {
        // Straight to the descriptor, past the capture.
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
}

/// Whether this test may run; says so when not.
fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("it needs root");
    }
    root
}
