#![forbid(unsafe_code)]
//! Values of limits: each knows its spelling, and refuses what the kernel would misread.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value or `"max"`: explicitly none, for a container that overrides a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Limit<T> {
    At(T),
    #[serde(serialize_with = "write_max")]
    Max,
}

fn write_max<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("max")
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand: an untagged enum would lose the words of T's own error.
        deserializer.deserialize_any(LimitVisitor(std::marker::PhantomData))
    }
}

struct LimitVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for LimitVisitor<T> {
    type Value = Limit<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or \"max\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if matches!(text, "max" | "unlimited") {
            return Ok(Limit::Max);
        }
        T::deserialize(de::value::StrDeserializer::new(text)).map(Limit::At)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        T::deserialize(de::value::U64Deserializer::new(number)).map(Limit::At)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        T::deserialize(de::value::I64Deserializer::new(number)).map(Limit::At)
    }
}

/// Microseconds; written as `50ms`, `1s`, `500us` or a number of microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub u64);

/// Hundredths of one processor; written as `20%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u32);

/// A set of small numbers as the kernel writes it: `0-3,6`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberList(String);

/// A size of huge pages as the kernel spells it in the names of files: `2MB`, `1GB`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageSize(String);

/// `MAJOR:MINOR` of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockDevice {
    pub major: u32,
    pub minor: u32,
}

/// `FILE=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawWrite {
    /// What stands before the first dot.
    pub controller: String,
    pub file: String,
    pub value: String,
}

/// Devices and what may be done with them, as the kernel and LXC write it: `c 10:200 rwm`, `b *:* r`, or
/// `a` for everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAccess(String);

impl DeviceAccess {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceAccess {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
        let words: Vec<&str> = text.split_whitespace().collect();
        let sound = match words[..] {
            ["a"] => true,
            ["c" | "b", numbers, access] => {
                let numbers = numbers.split_once(':').is_some_and(|(a, b)| number(a) && number(b));
                numbers && !access.is_empty() && access.chars().all(|c| "rwm".contains(c))
            }
            _ => false,
        };
        if sound { Ok(Self(words.join(" "))) } else { Err(ValueError::Access(text.to_owned())) }
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not one of the values above.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("\"{0}\" is not a time: a whole number and one of us, ms, s are expected, such as 50ms")]
    Time(String),
    #[error("\"{0}\" is not a share of a processor such as 20% or 150%")]
    Percent(String),
    #[error("\"{0}\" is not a list of numbers and ranges such as 0-3,6")]
    Numbers(String),
    #[error("\"{0}\" is not a size of huge pages such as 2MB or 1GB")]
    PageSize(String),
    #[error("\"{0}\" is not MAJOR:MINOR of a block device; `lsblk -o NAME,MAJ:MIN` shows them")]
    Device(String),
    #[error("\"{0}\" does not say which devices and what may be done, such as \"c 10:200 rwm\" or \"a\"")]
    Access(String),
    #[error("\"{0}\" is not CONTROLLER.FILE=VALUE, such as memory.oom.group=1")]
    Raw(String),
    #[error("{0} cannot be written by `raw`: {1}")]
    Reserved(String, &'static str),
}

impl FromStr for Micros {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::Time(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim_start() {
            "" | "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            _ => return Err(error()),
        };
        let number: u64 = number.parse().map_err(|_not_a_number| error())?;
        number.checked_mul(factor).map(Micros).ok_or_else(error)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us if us % 1_000_000 == 0 => write!(f, "{}s", us / 1_000_000),
            us if us % 1_000 == 0 => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{us}us"),
        }
    }
}

impl FromStr for Percent {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let number = text.strip_suffix('%').filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|number| number.parse().ok()).map(Self);
        number.ok_or_else(|| ValueError::Percent(text.to_owned()))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl NumberList {
    /// The text that the kernel reads.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NumberList {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let number = |part: &str| part.parse::<u16>().ok();
        let valid = |item: &str| match item.split_once('-') {
            Some((from, to)) => matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to),
            None => number(item).is_some(),
        };
        // "0,1\n" and the like never reach a file of the kernel: only what was recognized does.
        if text.split(',').all(valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::Numbers(text.to_owned()))
        }
    }
}

impl fmt::Display for NumberList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PageSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let number = ["KB", "MB", "GB"].iter().find_map(|unit| text.strip_suffix(unit));
        // It becomes part of a file's name.
        let valid =
            number.is_some_and(|n| !n.is_empty() && n.len() < 8 && n.bytes().all(|b| b.is_ascii_digit()));
        if valid { Ok(Self(text.to_owned())) } else { Err(ValueError::PageSize(text.to_owned())) }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BlockDevice {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.split_once(':')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }))
            .ok_or_else(|| ValueError::Device(text.to_owned()))
    }
}

impl fmt::Display for BlockDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What `raw` may not touch, because wxc itself relies on it.
const RESERVED: [(&str, &str); 3] = [
    ("cgroup", "processes and freezing are managed by wxc"),
    ("freezer", "use `wxc freeze`"),
    ("devices", "use `devices`"),
];

impl FromStr for RawWrite {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::Raw(text.to_owned());
        let (file, value) = text.split_once('=').ok_or_else(error)?;
        let (file, value) = (file.trim(), value.trim());
        let (controller, name) = file.split_once('.').ok_or_else(error)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let graphic = |c: char| c.is_ascii_graphic() || c == ' ';
        let sound = !controller.is_empty() && !name.is_empty() && !value.is_empty();
        if !sound || !file.chars().all(plain) || !value.chars().all(graphic) {
            return Err(error());
        }
        if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| *reserved == controller) {
            return Err(ValueError::Reserved(file.to_owned(), why));
        }
        Ok(Self { controller: controller.to_owned(), file: file.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for RawWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.file, self.value)
    }
}

/// Values that are strings in the file and types here.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // A bare number is as good as its text: `cpus = 0`, `period = 50000`.
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Text { String(String), Number(u64) }
                let text = match Text::deserialize(deserializer)? {
                    Text::String(text) => text,
                    Text::Number(number) => number.to_string(),
                };
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

as_text!(Micros, Percent, NumberList, PageSize, BlockDevice, RawWrite, DeviceAccess);
