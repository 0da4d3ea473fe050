#![forbid(unsafe_code)]
//! Limits of a container's resources: the `[cgroup]` table of `container.toml`.
//!
//! One spelling for both generations of the kernel's interface, after the v2 names of cgroups(7);
//! `plan::cgroup` turns it into the files of the host it runs on. Nothing given means no limit.
//!
//! ```toml
//! [cgroup]
//! memory = { max = "512M", swap = "0" }
//! cpu = { weight = 200, quota = "150ms" }
//! pids = { max = 1000 }
//! io.devices = [{ device = "8:0", write-bps = "20M" }]
//! raw = ["memory.oom.group=1"]
//! ```

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::size::Size;

/// The `[cgroup]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    #[serde(skip_serializing_if = "is_default")]
    pub memory: Memory,
    #[serde(skip_serializing_if = "is_default")]
    pub cpu: Cpu,
    #[serde(skip_serializing_if = "is_default")]
    pub cpuset: Cpuset,
    #[serde(skip_serializing_if = "is_default")]
    pub pids: Pids,
    #[serde(skip_serializing_if = "is_default")]
    pub io: Io,
    /// Bytes of huge pages by page size as the kernel spells it (`2MB`, `1GB`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hugetlb: BTreeMap<String, Limit<Size>>,
    /// `FILE=VALUE`, written as they are after everything else; only as portable as the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<RawWrite>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `cgroup.memory`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memory {
    /// Above this the out-of-memory killer works inside the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit<Size>>,
    /// Above this its processes are slowed down and reclaimed from; v2 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<Limit<Size>>,
    /// Below this it is spared when the host needs memory; a soft limit on v1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<Size>,
    /// Swap space alone (not memory and swap together), as in v2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<Limit<Size>>,
}

/// `cgroup.cpu`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cpu {
    /// Share relative to its siblings when the processors are busy: 1 to 10000, usually 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Processor time that may be used in each period: `150ms` per `100ms` is one and a half processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Limit<Micros>>,
    /// 1 ms to 1 s; 100 ms when only a quota is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Micros>,
}

/// `cgroup.cpuset`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cpuset {
    /// Processors, as in `0-3,6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<NumberList>,
    /// Memory nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mems: Option<NumberList>,
}

/// `cgroup.pids`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pids {
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit<u64>>,
}

/// `cgroup.io`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Io {
    /// Share relative to its siblings when a device is busy: 1 to 10000, usually 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<IoDevice>,
}

/// Limits on one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IoDevice {
    pub device: BlockDevice,
    /// Bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bps: Option<Limit<Size>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_bps: Option<Limit<Size>>,
    /// Operations per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_iops: Option<Limit<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_iops: Option<Limit<u64>>,
}

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

/// A set of small numbers as the kernel writes it: `0-3,6`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberList(String);

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

/// Why a text is not one of the values above.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("\"{0}\" is not a time: a whole number and one of us, ms, s are expected, such as 50ms")]
    Time(String),
    #[error("\"{0}\" is not a list of numbers and ranges such as 0-3,6")]
    Numbers(String),
    #[error("\"{0}\" is not MAJOR:MINOR of a block device; `lsblk -o NAME,MAJ:MIN` shows them")]
    Device(String),
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

as_text!(Micros, NumberList, BlockDevice, RawWrite);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Limits, toml_edit::de::Error> {
        toml_edit::de::from_str(text)
    }

    #[test]
    fn the_documented_example_is_read_and_written_back() {
        let text = r#"
            memory = { max = "512M", swap = 0, high = "max" }
            cpu = { weight = 200, quota = "150ms" }
            cpuset = { cpus = "0-3,6", mems = 0 }
            pids = { max = 1000 }
            io.devices = [{ device = "8:0", write-bps = "20M", read-iops = "max" }]
            hugetlb = { 2MB = "64M" }
            raw = ["memory.oom.group=1"]
        "#;
        let limits = parse(text).unwrap();
        assert_eq!(limits.memory.max, Some(Limit::At(Size(512 << 20))));
        assert_eq!(limits.memory.high, Some(Limit::Max));
        assert_eq!(limits.cpu.quota, Some(Limit::At(Micros(150_000))));
        assert_eq!(limits.cpuset.mems.as_ref().map(NumberList::as_str), Some("0"));
        assert_eq!(limits.raw[0].controller, "memory");
        let written = toml_edit::ser::to_string(&limits).unwrap();
        assert_eq!(parse(&written).unwrap(), limits, "{written}");
    }

    #[test]
    fn nothing_given_is_nothing_written() {
        assert_eq!(toml_edit::ser::to_string(&Limits::default()).unwrap(), "");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("memory = { max = \"much\" }", "\"much\" is not a size"),
            ("memory = { maximum = 1 }", "unknown field `maximum`"),
            ("cpu = { quota = \"half\" }", "\"half\" is not a time"),
            ("cpuset = { cpus = \"3-1\" }", "\"3-1\" is not a list"),
            ("io.devices = [{ device = \"/dev/sda\" }]", "MAJOR:MINOR"),
            ("raw = [\"cgroup.procs=1\"]", "cannot be written by `raw`"),
            ("raw = [\"memory.max=1\\n2\"]", "CONTROLLER.FILE=VALUE"),
            ("raw = [\"../x.y=1\"]", "CONTROLLER.FILE=VALUE"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
