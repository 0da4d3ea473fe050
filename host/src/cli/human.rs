#![forbid(unsafe_code)]
//! Numbers as people read them, in LXC's words, which scripts know.

use std::time::Duration;

/// `N bytes`, `x.xx KiB`, `x.xx MiB`, `x.xx GiB`.
#[must_use]
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if count >> shift > 0 {
            return format!("{} {unit}", hundredths(count, 1 << shift));
        }
    }
    format!("{count} bytes")
}

/// `x.xxMB`, as LXC's list shows memory.
#[must_use]
pub(super) fn megabytes(count: u64) -> String {
    format!("{}MB", hundredths(count, 1 << 20))
}

/// `x.xx seconds`.
#[must_use]
pub(super) fn seconds(span: Duration) -> String {
    format!("{}.{:02} seconds", span.as_secs(), span.subsec_millis() / 10)
}

/// `count / unit` with two digits after the point.
fn hundredths(count: u64, unit: u64) -> String {
    let scaled = u128::from(count) * 100 / u128::from(unit);
    format!("{}.{:02}", scaled / 100, scaled % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_change_at_their_size() {
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1024), "1.00 KiB");
        assert_eq!(bytes(1536 * 1024), "1.50 MiB");
        assert_eq!(bytes(u64::MAX), "17179869183.99 GiB");
        assert_eq!(megabytes(3 << 19), "1.50MB");
        assert_eq!(seconds(Duration::from_millis(1259)), "1.25 seconds");
    }
}
