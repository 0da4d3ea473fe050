//! The results as a page.

use std::fmt::Write as _;

use super::Results;

pub(super) fn text(results: &Results, runs: usize) -> String {
    let mut page = format!(
        "# Images: wxc beside LXC, mmdebstrap and debootstrap\n\n\
         Written by `cargo xtask bench images`: {runs} runs (three of what takes long), all programs in turn in each, a release build of wxc, privileged \
         containers on an ext4 made for this run. The image server is on loopback, with TLS: a Debian with systemd, {}. Times are of whole \
         commands, medians in seconds and, in brackets, the fastest. wxc's commands return when what they did is on the disk; the others do not \
         wait for that.\n\n{}\n\n",
        results.image,
        crate::report::machine()
    );
    for row in &results.rows {
        let names: Vec<&str> = row.columns.iter().map(|(name, _)| *name).collect();
        let _ =
            writeln!(page, "| {} | {} |\n|---|{}", row.what, names.join(" | "), "---:|".repeat(names.len()));
        let _ = write!(page, "| seconds |");
        for (_, samples) in &row.columns {
            let _ = write!(page, " {:.2} ({:.2}) |", samples.median() / 1e3, samples.min() / 1e3);
        }
        for (peer, theirs) in row.columns.iter().filter(|(name, _)| !name.starts_with("wxc")) {
            let _ = write!(page, "\n| wxc / {peer} |");
            for (name, own) in &row.columns {
                match name.starts_with("wxc") {
                    true => {
                        let _ = write!(page, " {:.3} |", own.median() / theirs.median());
                    }
                    false => page.push_str(" |"),
                }
            }
        }
        page.push_str("\n\n");
    }
    for (what, samples) in &results.memory {
        if !samples.median().is_nan() {
            let _ =
                writeln!(page, "Largest process of wxc's in {what}: {:.0} MiB.\n", samples.median() / 1024.0);
        }
    }
    for missing in &results.missing {
        let _ = writeln!(page, "Not measured: {missing}.\n");
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}
