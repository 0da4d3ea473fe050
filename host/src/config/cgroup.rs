#![forbid(unsafe_code)]
//! Limits of a container's resources: the `[cgroup]` table of `container.toml`.
//!
//! One spelling for both generations of the kernel's interface, after the v2 names of cgroups(7);
//! `plan::cgroup` turns it into the files of the host it runs on. Nothing given means no limit.
//!
//! ```toml
//! [cgroup]
//! memory = { max = "512M", swap = "0" }
//! cpu = { weight = 200, max = "150%" }
//! pids = { max = 1000 }
//! devices = { allow = ["c 188:* rw"] }
//! io.devices = [{ device = "8:0", write-bps = "20M" }]
//! raw = ["memory.oom.group=1"]
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{is_default, size::Size};

/// Values that are strings in the file and types here.
mod value;

pub use value::{
    BlockDevice, DeviceAccess, Limit, Micros, NumberList, PageSize, Percent, RawWrite, ValueError,
};

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
    #[serde(skip_serializing_if = "is_default")]
    pub devices: Devices,
    /// Bytes of huge pages by page size.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hugetlb: BTreeMap<PageSize, Limit<Size>>,
    /// `FILE=VALUE`, written as they are after everything else; only as portable as the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<RawWrite>,
}

/// `cgroup.devices`: which devices may be used, on top of what wxc allows anyhow; what is denied is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Devices {
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<DeviceAccess>,
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Vec<DeviceAccess>,
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
    /// Processor time that may be used, of one processor: `20%`, or `150%` for one and a half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit<Percent>>,
    /// The same in the kernel's words, instead of `max`: the time that may be used in each period.
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
            ("cpu = { max = \"20\" }", "\"20\" is not a share of a processor"),
            ("cpuset = { cpus = \"3-1\" }", "\"3-1\" is not a list"),
            ("io.devices = [{ device = \"/dev/sda\" }]", "MAJOR:MINOR"),
            ("hugetlb = { \"2MB/../x\" = 1 }", "\"2MB/../x\" is not a size of huge pages"),
            ("raw = [\"cgroup.procs=1\"]", "cannot be written by `raw`"),
            ("raw = [\"memory.max=1\\n2\"]", "CONTROLLER.FILE=VALUE"),
            ("raw = [\"../x.y=1\"]", "CONTROLLER.FILE=VALUE"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
