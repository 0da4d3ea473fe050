#![forbid(unsafe_code)]
//! Signals by name, by number, or relative to the real-time ones: `SIGPWR`, `pwr`, `9`, `SIGRTMIN+3`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The number of a signal (signal(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(pub i32);

/// The real-time signals that applications may use. The kernel's start at 32; the C libraries keep
/// the first two (glibc) or three (musl) for themselves and both say 34 or 35. What systemd in the
/// container calls SIGRTMIN is glibc's, so that is the one meant here.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Numbers as on x86, Arm, RISC-V, s390 and POWER; wxc runs on none of the others.
const NAMES: [(&str, i32); 32] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("POLL", 29),
];

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            offset(rest, '+').and_then(|n| RTMIN.checked_add(n)).filter(|n| *n >= RTMIN)
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            offset(rest, '-').and_then(|n| RTMAX.checked_sub(n)).filter(|n| *n >= RTMIN)
        } else {
            name.parse().ok().filter(|n| *n >= 1)
        };
        number.filter(|n| *n <= RTMAX).map(Self).ok_or_else(|| {
            format!(
                "\"{}\" is not a signal: write a name (\"SIGTERM\"), a number from 1 to {RTMAX}, or \"SIGRTMIN+3\"",
                text.escape_debug()
            )
        })
    }
}

/// The number after `RTMIN` or `RTMAX`: nothing, or the sign and digits.
fn offset(rest: &str, sign: char) -> Option<i32> {
    match rest.strip_prefix(sign) {
        None => rest.is_empty().then_some(0),
        Some(digits) => digits.parse().ok().filter(|n| (0..=RTMAX).contains(n)),
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None if self.0 > RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Signal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a signal such as \"SIGTERM\" or its number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Signal, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Signal, E> {
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
    fn reads_names_numbers_and_real_time_signals() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGPWR", 30),
            ("SIGRTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmin+4", 38),
            ("SIGRTMAX-2", 62),
        ] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_signal() {
        for text in [
            "",
            "SIG",
            "0",
            "-9",
            "65",
            "SIGFOO",
            "SIGRTMIN+31",
            "SIGRTMIN-1",
            "SIGRTMAX+1",
            "RTMIN+-1",
            "9 ",
        ] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_signal_is_shown_as_it_is_read() {
        for number in 1..=RTMAX {
            assert_eq!(Signal(number).to_string().parse(), Ok(Signal(number)));
        }
    }
}
