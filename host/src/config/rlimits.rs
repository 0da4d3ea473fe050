#![forbid(unsafe_code)]
//! `[rlimits]`: limits of processes (getrlimit(2)), inherited by everything in the container.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The names of prlimit(1): `RLIMIT_NOFILE` is `nofile`.
pub const RESOURCES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// A soft and a hard limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

impl FromStr for Rlimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let (soft, hard) = (bound(soft)?, bound(hard)?);
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            return Err(format!("the soft limit of \"{text}\" is above the hard one"));
        }
        Ok(Self { soft, hard })
    }
}

fn bound(text: &str) -> Result<Option<u64>, String> {
    match text {
        "unlimited" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| {
            format!(
                "\"{}\" is not a limit: write a number, \"unlimited\", or \"SOFT:HARD\"",
                digits.escape_debug()
            )
        }),
    }
}

impl fmt::Display for Rlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |bound: Option<u64>| bound.map_or("unlimited".to_string(), |n| n.to_string());
        if self.soft == self.hard {
            return f.write_str(&show(self.soft));
        }
        write!(f, "{}:{}", show(self.soft), show(self.hard))
    }
}

impl Serialize for Rlimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rlimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Rlimit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit such as 1024, \"1024:4096\" or \"unlimited\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rlimit, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Rlimit, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_the_same() {
        for text in ["1024", "1024:4096", "unlimited", "0:unlimited"] {
            assert_eq!(text.parse::<Rlimit>().unwrap().to_string(), text);
        }
        assert_eq!("8:8".parse::<Rlimit>().unwrap().to_string(), "8");
    }

    #[test]
    fn refuses_nonsense_and_soft_above_hard() {
        for text in ["", "-1", "a", "1:2:3", "2:1", "unlimited:5", "1:"] {
            assert!(text.parse::<Rlimit>().is_err(), "{text}");
        }
    }
}
