//! The section about storage.

use std::fmt::Write as _;

use super::Results;
use crate::samples::Samples;

pub(crate) fn text(results: &Results) -> String {
    let mut page = String::from(
        "\n## On disk\n\n\
         Both on one file system, made for this run in a file (`ext4` for overlay and plain directories, `btrfs`), privileged \
         containers, everything written before each command. wxc's commands return when what they did survives a loss of power; \
         LXC's do not wait for the disk. Its second column is its command and then `syncfs`: the same promise. Medians and, in \
         brackets, the fastest, in milliseconds; ratios are of medians.\n\n\
         | | on | LXC | LXC, on the disk | wxc | wxc / LXC | wxc / LXC, on the disk |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    for row in &results.rows {
        let ratio = |to: &Samples| match to.median() {
            median if median.is_nan() => "–".to_owned(),
            median => format!("{:.2}", row.wxc.median() / median),
        };
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.what,
            row.filesystem,
            cell(&row.lxc),
            cell(&row.lxc_durable),
            cell(&row.wxc),
            ratio(&row.lxc),
            ratio(&row.lxc_durable)
        );
    }
    let fsyncs: Vec<String> = results
        .fsync
        .iter()
        .map(|(on, times)| format!("{:.2} ms on {on} (fastest {:.2})", times.median(), times.min()))
        .collect();
    let _ = writeln!(
        page,
        "\nA new file of 4 KiB and its fsync take {} here: what each thing that has to be on the disk before the next one costs \
         at least. LXC 5 starts no container whose root is a btrfs subvolume, and its template unpacks an archive each time.",
        fsyncs.join(", ")
    );
    for missing in &results.missing {
        let _ = writeln!(page, "\nNot measured: {missing}.");
    }
    page
}

fn cell(samples: &Samples) -> String {
    match samples.median() {
        median if median.is_nan() => "–".to_owned(),
        median => format!("{median:.1} ({:.1})", samples.min()),
    }
}
