#![forbid(unsafe_code)]
//! Which host ids are free: pure arithmetic over ranges, and the text of `/etc/subuid`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::IdRange;

/// Ids that one container gets: 16 bits, what distributions use up to `nobody` (65534).
pub const PER_CONTAINER: u32 = 1 << 16;

/// Where root takes ids from when `/etc/subuid` gives it none: above what people, services and
/// systemd's dynamic and container users have (uids-gids.md of systemd ends at 1879048191, of which
/// distributions hand out the lower part), below the sign bit that old programs trip over.
pub const OF_ROOT: HostRange = HostRange { first: 1_000_000_000, count: 800_000_000 };

/// Neighbouring ids of the host. Written `FIRST:COUNT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostRange {
    pub first: u32,
    /// At least 1.
    pub count: u32,
}

impl HostRange {
    /// The first id behind it.
    #[must_use]
    pub fn end(self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }

    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        u64::from(self.first) < other.end() && u64::from(other.first) < self.end()
    }

    /// What both have in common.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Self> {
        let first = self.first.max(other.first);
        let count = self.end().min(other.end()).checked_sub(first.into())?;
        u32::try_from(count).ok().filter(|count| *count > 0).map(|count| Self { first, count })
    }
}

impl From<IdRange> for HostRange {
    fn from(range: IdRange) -> Self {
        Self { first: range.host.0, count: range.count }
    }
}

/// The lowest block of `count` ids in `pool` that touches none of `taken`. Blocks stand at multiples
/// of `count` from the start of their range, so that released ones are exactly refilled.
#[must_use]
pub fn next_free(pool: &[HostRange], taken: &[HostRange], count: u32) -> Option<HostRange> {
    let mut taken = taken.to_vec();
    taken.sort_unstable();
    pool.iter().find_map(|range| free_in(*range, &taken, count))
}

fn free_in(range: HostRange, taken: &[HostRange], count: u32) -> Option<HostRange> {
    let step = u64::from(count);
    let mut first = u64::from(range.first);
    // Sorted by their start: each one is passed once, and none behind it can lie before.
    for other in taken.iter().filter(|other| other.overlaps(range)) {
        if u64::from(other.first) < first + step && first < other.end() {
            let past = other.end() - u64::from(range.first);
            first = u64::from(range.first) + past.div_ceil(step) * step;
        }
    }
    let first = u32::try_from(first).ok().filter(|first| u64::from(*first) + step <= range.end())?;
    Some(HostRange { first, count })
}

/// The ranges of `/etc/subuid` or `/etc/subgid` (subuid(5)) that belong to this user, and those that
/// belong to others. Lines that are none are skipped, as shadow does.
#[must_use]
pub fn subordinate(text: &str, user: &str, uid: u32) -> (Vec<HostRange>, Vec<HostRange>) {
    let uid = uid.to_string();
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((owner, range)) = line.split_once(':') else { continue };
        let Ok(range) = range.parse::<HostRange>() else { continue };
        if owner == user || owner == uid {
            own.push(range);
        } else {
            others.push(range);
        }
    }
    (own, others)
}

impl FromStr for HostRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{}\" is not a range of ids: write FIRST:COUNT, as in \"100000:65536\"",
                text.escape_debug()
            )
        };
        let number =
            |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        let (first, count) = text.split_once(':').ok_or_else(wrong)?;
        let range = Self { first: number(first).ok_or_else(wrong)?, count: number(count).ok_or_else(wrong)? };
        let fits = range.count > 0 && range.end() <= u64::from(u32::MAX);
        fits.then_some(range).ok_or_else(wrong)
    }
}

impl fmt::Display for HostRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.first, self.count)
    }
}

impl Serialize for HostRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, count: u32) -> HostRange {
        HostRange { first, count }
    }

    #[test]
    fn fills_from_below_and_refills_gaps() {
        let pool = [range(100_000, 4 * 10)];
        let next = |taken: &[HostRange]| next_free(&pool, taken, 10).map(|range| range.first);
        assert_eq!(next(&[]), Some(100_000));
        assert_eq!(next(&[range(100_000, 10)]), Some(100_010));
        assert_eq!(next(&[range(100_010, 10), range(100_000, 10), range(100_030, 10)]), Some(100_020));
        assert_eq!(next(&[range(100_000, 40)]), None);
    }

    #[test]
    fn jumps_over_ranges_of_other_sizes_and_keeps_its_alignment() {
        let pool = [range(0, 100)];
        assert_eq!(next_free(&pool, &[range(5, 1)], 10), Some(range(10, 10)));
        assert_eq!(next_free(&pool, &[range(0, 25), range(28, 1)], 10), Some(range(30, 10)));
        assert_eq!(next_free(&pool, &[range(0, 5), range(2, 60)], 10), Some(range(70, 10)));
    }

    #[test]
    fn never_leaves_its_pool() {
        assert_eq!(next_free(&[range(0, 9)], &[], 10), None);
        assert_eq!(next_free(&[range(0, 15), range(40, 10)], &[range(3, 1)], 10), Some(range(40, 10)));
        assert_eq!(next_free(&[range(u32::MAX - 5, 5)], &[], 10), None);
    }

    #[test]
    fn whatever_is_taken_the_answer_overlaps_none_of_it() {
        // A small generator instead of chance: the same thousand cases in every run.
        let mut state = 7u64;
        let mut random = |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u32::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..1000 {
            let pool = [range(random(50), 1 + random(300)), range(1000, 1 + random(300))];
            let taken: Vec<HostRange> =
                (0..random(20)).map(|_| range(random(1400), 1 + random(60))).collect();
            let count = 1 + random(40);
            match next_free(&pool, &taken, count) {
                Some(found) => {
                    assert!(pool.iter().any(|pool| pool.common(found) == Some(found)));
                    assert!(!taken.iter().any(|taken| taken.overlaps(found)));
                }
                None => {
                    for pool in pool {
                        let mut blocks = (pool.first..).step_by(count as usize);
                        let free = blocks
                            .by_ref()
                            .take_while(|first| u64::from(first + count) <= pool.end())
                            .any(|first| !taken.iter().any(|taken| taken.overlaps(range(first, count))));
                        assert!(!free, "{pool:?} {taken:?} {count}");
                    }
                }
            }
        }
    }

    #[test]
    fn reads_subuid_by_name_and_by_number() {
        let text =
            "# comment\nalice:100000:65536\n1000:300000:10\nbob:165536:65536\nbroken\nalice:x:1\nalice:1:0\n";
        let (own, others) = subordinate(text, "alice", 1000);
        assert_eq!(own, [range(100_000, 65_536), range(300_000, 10)]);
        assert_eq!(others, [range(165_536, 65_536)]);
    }
}
