//! What happens on disk: clones, copies, snapshots, removal, and long lists, beside LXC.
//!
//! Both work on the same file system, made for this run in a file of its own. Before each command everything is
//! written to the disk, so that nobody pays for what another left in memory. LXC does not wait for the disk: for it the
//! time is taken twice, as its command returns, and when what it did is on the disk, as it is when wxc's returns.

mod cow;
mod image;
mod many;
pub(crate) mod report;
pub(crate) mod scratch;
mod whole;

use crate::samples::Samples;
use crate::subject::Failed;
use scratch::Scratch;

/// One thing, measured on one file system.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) filesystem: &'static str,
    /// Empty where LXC cannot.
    pub(crate) lxc: Samples,
    /// With what it left to be written.
    pub(crate) lxc_durable: Samples,
    pub(crate) wxc: Samples,
}

impl Row {
    fn new(what: impl Into<String>, filesystem: &'static str) -> Self {
        let empty = Samples::default;
        Self { what: what.into(), filesystem, lxc: empty(), lxc_durable: empty(), wxc: empty() }
    }
}

/// Everything that was measured here.
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    /// Four KiB written to a new file and waited for: what each promise to be on the disk costs at least.
    pub(crate) fsync: Vec<(&'static str, Samples)>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
}

/// The runs of what takes seconds.
const LONG: usize = 5;
/// The room of a scratch file system; the file is sparse.
const ROOM: u64 = 12 << 30;

pub(crate) fn measure(runs: usize) -> Result<Results, Failed> {
    let mut results = Results { rows: Vec::new(), fsync: Vec::new(), missing: Vec::new() };
    for filesystem in ["ext4", "btrfs"] {
        let scratch = Scratch::new(filesystem, ROOM)?;
        results.fsync.push((filesystem, scratch.fsyncs(runs)?));
        results.rows.extend(cow::measure(&scratch, runs)?);
        match wxc_tests::fixtures::debian() {
            Ok(archive) => {
                results.rows.extend(image::measure(&scratch, archive, runs)?);
                results.rows.extend(whole::measure(&scratch, archive)?);
            }
            Err(why) => results.missing.push(format!("a Debian tree on {filesystem}: {why}")),
        }
        if filesystem == "ext4" {
            results.rows.push(many::measure(&scratch)?);
        }
        // With its containers gone it can be unmounted in order; an error before only detaches it.
        scratch.end()?;
    }
    Ok(results)
}
