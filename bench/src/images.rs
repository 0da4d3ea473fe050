//! Images of a server, and Debian from a mirror: wxc beside LXC's download template, mmdebstrap and debootstrap.
//!
//! The server is on loopback, with TLS and one image: a Debian, packed as image servers pack theirs. Everything is asked in turn
//! in each run. Before each command everything is written to the disk; LXC and the bootstraps do not wait for it, wxc does.

mod debian;
mod report;
mod server;

use std::fs;

use crate::samples::Samples;
use crate::storage::scratch::Scratch;
use crate::subject::Failed;

/// One thing that several programs were asked to do.
pub(crate) struct Row {
    pub(crate) what: String,
    /// By the program's name; wxc is the last.
    pub(crate) columns: Vec<(&'static str, Samples)>,
}

impl Row {
    fn new(what: impl Into<String>, names: &[&'static str]) -> Self {
        let columns = names.iter().map(|name| (*name, Samples::default())).collect();
        Self { what: what.into(), columns }
    }

    fn of(&mut self, name: &str) -> Option<&mut Samples> {
        self.columns.iter_mut().find(|(known, _)| *known == name).map(|(_, samples)| samples)
    }
}

/// Everything that was measured here.
pub(crate) struct Results {
    rows: Vec<Row>,
    /// What the image is, in words.
    image: String,
    /// Largest resident set of one process of wxc's, in KiB, and of what.
    memory: Vec<(&'static str, Samples)>,
    missing: Vec<String>,
}

/// Runs, which take seconds each.
pub(crate) const RUNS: usize = 5;
/// The room of a scratch file system; the file is sparse.
const ROOM: u64 = 12 << 30;

/// Measures, and writes `bench/IMAGES.md`.
pub(crate) fn run(runs: usize) -> Result<String, Failed> {
    let archive = wxc_tests::fixtures::newer_debian()?;
    let scratch = Scratch::new("ext4", ROOM)?;
    let mut results =
        Results { rows: Vec::new(), image: String::new(), memory: Vec::new(), missing: Vec::new() };
    server::measure(&scratch, archive, runs, &mut results)?;
    match wxc_tests::fixtures::mirror() {
        Ok(mirror) => debian::measure(&scratch, &mirror, runs, &mut results)?,
        Err(why) => results.missing.push(format!("Debian from a mirror: {why}")),
    }
    scratch.end()?;
    let text = report::text(&results, runs);
    let file = wxc_tests::root().join("bench/IMAGES.md");
    fs::write(&file, &text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text)
}
