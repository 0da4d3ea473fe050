#![forbid(unsafe_code)]
//! What a limit means on this host: typed limits in, names and values of cgroup files out.
//!
//! Configuration speaks v2 (cgroups(7), the kernel's `cgroup-v2.rst`). A controller that is bound
//! to a v1 hierarchy is spoken to in v1's words, whatever the others are. Where v1 has a file of the
//! same meaning it is used, with its own scale; where it has none the limit is refused rather than
//! forgotten: a container that runs without the limit that was asked for is worse than one that
//! does not start.

use crate::config::{
    cgroup::{Cpu, Cpuset, Io, IoDevice, Limit, Limits, Memory, Micros, Percent},
    size::Size,
};

use super::{CgroupLayout, CgroupWrite, facts::CgroupFacts};

/// Why limits cannot be had on this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("{key}: this host has cgroups v1, which have no such limit")]
    NotOnV1 { key: String },
    #[error("{key}: no cgroups are available on this host")]
    NoCgroups { key: String },
    #[error("{key} needs {needs} on a host with cgroups v1, where swap is limited together with memory")]
    Needs { key: &'static str, needs: &'static str },
    #[error("{key} and {other} say the same thing: keep one of them")]
    Twice { key: &'static str, other: &'static str },
    #[error("{key} is {value}: it must be from {least} to {most}")]
    OutOfRange { key: String, value: u64, least: u64, most: u64 },
}

/// The range of `cpu.weight` and `io.weight`, and what a cgroup has that was never told one.
const WEIGHT_LEAST: u32 = 1;
const WEIGHT_USUAL: u32 = 100;
const WEIGHT_MOST: u32 = 10_000;
/// The same of v1's `cpu.shares`.
const SHARES_LEAST: u64 = 2;
const SHARES_USUAL: u64 = 1024;
const SHARES_MOST: u64 = 262_144;
/// v1's `blkio.bfq.weight` has the usual value of v2 but ends earlier.
const BFQ_WEIGHT_MOST: u32 = 1_000;
/// Microseconds (`sched/core.c`: 1 ms to 1 s for both quota and period; a quota may exceed it).
const PERIOD: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;
const QUOTA_LEAST: u64 = 1_000;
const PERIOD_USUAL: Micros = Micros(100_000);

/// Whose words a controller understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// Of a controller that v2 calls `name` and v1 `legacy`.
    fn of(name: &str, legacy: &str, facts: &CgroupFacts) -> Self {
        let found = facts.hierarchy_of(legacy).filter(|h| !h.unified).or(facts.hierarchy_of(name));
        match found {
            Some(hierarchy) if hierarchy.unified => Self::V2,
            Some(_) => Self::V1,
            // It is missing, which the plan reports with this name.
            None if facts.layout == CgroupLayout::Unified => Self::V2,
            None => Self::V1,
        }
    }

    /// How it writes "no limit".
    fn unlimited(self) -> &'static str {
        match self {
            Self::V1 => "-1",
            Self::V2 => "max",
        }
    }
}

/// The writes for `limits`, in the order in which the kernel accepts them.
///
/// # Errors
/// When a limit is out of range, or cannot be expressed on this host.
pub fn writes(limits: &Limits, facts: &CgroupFacts) -> Result<Vec<CgroupWrite>, LimitError> {
    let mut out = Writes { list: Vec::new() };
    match Version::of("memory", "memory", facts) {
        Version::V1 => memory_v1(&limits.memory, &mut out)?,
        Version::V2 => memory_v2(&limits.memory, &mut out),
    }
    cpu(&limits.cpu, Version::of("cpu", "cpu", facts), &mut out)?;
    same_in_both(limits, &mut out);
    match Version::of("io", "blkio", facts) {
        Version::V1 => io_v1(&limits.io, &mut out)?,
        Version::V2 => io_v2(&limits.io, &mut out)?,
    }
    hugetlb(limits, Version::of("hugetlb", "hugetlb", facts), &mut out);
    for raw in &limits.raw {
        out.push(&raw.file, &raw.value, "cgroup.raw");
    }
    match out.list.first() {
        Some(write) if facts.layout == CgroupLayout::Absent => {
            Err(LimitError::NoCgroups { key: write.key.clone() })
        }
        _ => Ok(out.list),
    }
}

/// v1's `cpu.shares` for a weight: in proportion, the usual one to the usual one, as systemd does
/// it. (The older formula of the container runtimes maps the ends and puts the usual 1024 at 39.)
#[must_use]
pub fn shares_from_weight(weight: u32) -> u64 {
    (u64::from(weight) * SHARES_USUAL / u64::from(WEIGHT_USUAL)).clamp(SHARES_LEAST, SHARES_MOST)
}

/// The weight for v1's `cpu.shares`, for configurations that were written for v1.
#[must_use]
pub fn weight_from_shares(shares: u64) -> u32 {
    let weight = shares.min(SHARES_MOST) * u64::from(WEIGHT_USUAL) / SHARES_USUAL;
    u32::try_from(weight).unwrap_or(WEIGHT_MOST).clamp(WEIGHT_LEAST, WEIGHT_MOST)
}

struct Writes {
    list: Vec<CgroupWrite>,
}

impl Writes {
    fn push(&mut self, file: &str, value: impl ToString, key: &str) {
        let controller = file.split_once('.').map_or(file, |(controller, _)| controller);
        self.list.push(CgroupWrite {
            controller: controller.to_owned(),
            file: file.to_owned(),
            value: value.to_string(),
            key: key.to_owned(),
        });
    }

    /// Only when there is a value.
    fn maybe(&mut self, file: &str, value: Option<impl ToString>, key: &str) {
        if let Some(value) = value {
            self.push(file, value, key);
        }
    }
}

fn memory_v2(memory: &Memory, out: &mut Writes) {
    let Memory { max, high, low, swap } = memory;
    out.maybe("memory.low", low.map(|size| size.0), "cgroup.memory.low");
    out.maybe("memory.high", high.map(|limit| bytes_or(limit, "max")), "cgroup.memory.high");
    out.maybe("memory.max", max.map(|limit| bytes_or(limit, "max")), "cgroup.memory.max");
    out.maybe("memory.swap.max", swap.map(|limit| bytes_or(limit, "max")), "cgroup.memory.swap");
}

fn cpu(cpu: &Cpu, version: Version, out: &mut Writes) -> Result<(), LimitError> {
    let weight = weight(cpu.weight, "cgroup.cpu.weight")?;
    match version {
        Version::V1 => out.maybe("cpu.shares", weight.map(shares_from_weight), "cgroup.cpu.weight"),
        Version::V2 => out.maybe("cpu.weight", weight, "cgroup.cpu.weight"),
    }
    let Some((quota, period)) = bandwidth(cpu)? else { return Ok(()) };
    let quota = quota_or(quota, version.unlimited());
    match version {
        Version::V1 => {
            // The period first: the kernel checks a quota against the period that is in force.
            out.push("cpu.cfs_period_us", period, "cgroup.cpu.period");
            out.push("cpu.cfs_quota_us", quota, "cgroup.cpu.quota");
        }
        Version::V2 => out.push("cpu.max", format!("{quota} {period}"), "cgroup.cpu.quota"),
    }
    Ok(())
}

fn io_v2(io: &Io, out: &mut Writes) -> Result<(), LimitError> {
    out.maybe("io.weight", weight(io.weight, "cgroup.io.weight")?, "cgroup.io.weight");
    for value in io.devices.iter().filter_map(io_max) {
        out.push("io.max", value, "cgroup.io.devices");
    }
    Ok(())
}

fn hugetlb(limits: &Limits, version: Version, out: &mut Writes) {
    for (size, limit) in &limits.hugetlb {
        let file = match version {
            Version::V1 => format!("hugetlb.{size}.limit_in_bytes"),
            Version::V2 => format!("hugetlb.{size}.max"),
        };
        out.push(&file, bytes_or(*limit, version.unlimited()), &format!("cgroup.hugetlb.{size}"));
    }
}

/// What is spelled the same in both.
fn same_in_both(limits: &Limits, out: &mut Writes) {
    let Cpuset { cpus, mems } = &limits.cpuset;
    out.maybe("cpuset.cpus", cpus.as_ref(), "cgroup.cpuset.cpus");
    out.maybe("cpuset.mems", mems.as_ref(), "cgroup.cpuset.mems");
    let pids = limits.pids.max.map(|limit| number_or(limit, "max"));
    out.maybe("pids.max", pids, "cgroup.pids.max");
}

fn memory_v1(memory: &Memory, out: &mut Writes) -> Result<(), LimitError> {
    if matches!(memory.high, Some(Limit::At(_))) {
        return Err(LimitError::NotOnV1 { key: "cgroup.memory.high".into() });
    }
    out.maybe("memory.soft_limit_in_bytes", memory.low.map(|size| size.0), "cgroup.memory.low");
    let max = memory.max.map(|limit| bytes_or(limit, "-1"));
    out.maybe("memory.limit_in_bytes", max, "cgroup.memory.max");
    // v1 counts memory and swap together, and wants that sum to be no less than memory alone:
    // hence after it.
    let together = match (memory.max, memory.swap) {
        (_, None) => return Ok(()),
        (_, Some(Limit::Max)) => "-1".to_owned(),
        (Some(Limit::At(Size(max))), Some(Limit::At(Size(swap)))) => max.saturating_add(swap).to_string(),
        (_, Some(Limit::At(_))) => {
            return Err(LimitError::Needs { key: "cgroup.memory.swap", needs: "cgroup.memory.max" });
        }
    };
    out.push("memory.memsw.limit_in_bytes", together, "cgroup.memory.swap");
    Ok(())
}

fn io_v1(io: &Io, out: &mut Writes) -> Result<(), LimitError> {
    let weight = weight(io.weight, "cgroup.io.weight")?.map(|weight| weight.min(BFQ_WEIGHT_MOST));
    out.maybe("blkio.bfq.weight", weight, "cgroup.io.weight");
    for device in &io.devices {
        let rows = [
            ("blkio.throttle.read_bps_device", device.read_bps.map(|limit| bytes_or(limit, "0"))),
            ("blkio.throttle.write_bps_device", device.write_bps.map(|limit| bytes_or(limit, "0"))),
            ("blkio.throttle.read_iops_device", device.read_iops.map(|limit| number_or(limit, "0"))),
            ("blkio.throttle.write_iops_device", device.write_iops.map(|limit| number_or(limit, "0"))),
        ];
        for (file, value) in rows {
            let value = value.map(|value| format!("{} {value}", device.device));
            out.maybe(file, value, "cgroup.io.devices");
        }
    }
    Ok(())
}

/// The line of `io.max`; `None` when nothing is limited.
fn io_max(device: &IoDevice) -> Option<String> {
    let words: Vec<String> = [
        ("rbps", device.read_bps.map(|limit| bytes_or(limit, "max"))),
        ("wbps", device.write_bps.map(|limit| bytes_or(limit, "max"))),
        ("riops", device.read_iops.map(|limit| number_or(limit, "max"))),
        ("wiops", device.write_iops.map(|limit| number_or(limit, "max"))),
    ]
    .into_iter()
    .filter_map(|(word, value)| value.map(|value| format!("{word}={value}")))
    .collect();
    (!words.is_empty()).then(|| format!("{} {}", device.device, words.join(" ")))
}

fn weight(weight: Option<u32>, key: &str) -> Result<Option<u32>, LimitError> {
    let range = u64::from(WEIGHT_LEAST)..=u64::from(WEIGHT_MOST);
    weight.map(|value| in_range(key, u64::from(value), range).map(|()| value)).transpose()
}

/// Quota and period in microseconds, if either was given.
fn bandwidth(cpu: &Cpu) -> Result<Option<(Limit<Micros>, u64)>, LimitError> {
    if cpu.max.is_none() && cpu.quota.is_none() && cpu.period.is_none() {
        return Ok(None);
    }
    if cpu.max.is_some() && cpu.quota.is_some() {
        return Err(LimitError::Twice { key: "cgroup.cpu.max", other: "cgroup.cpu.quota" });
    }
    let period = cpu.period.unwrap_or(PERIOD_USUAL).0;
    in_range("cgroup.cpu.period", period, PERIOD)?;
    let quota = match cpu.max {
        Some(Limit::At(Percent(share))) => Limit::At(Micros(u64::from(share) * period / 100)),
        Some(Limit::Max) => Limit::Max,
        None => cpu.quota.unwrap_or(Limit::Max),
    };
    if let Limit::At(Micros(quota)) = quota {
        let key = if cpu.max.is_some() { "cgroup.cpu.max, in microseconds," } else { "cgroup.cpu.quota" };
        in_range(key, quota, QUOTA_LEAST..=u64::MAX / 1_000)?;
    }
    Ok(Some((quota, period)))
}

fn in_range(key: &str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<(), LimitError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(LimitError::OutOfRange { key: key.to_owned(), value, least: *range.start(), most: *range.end() })
}

fn bytes_or(limit: Limit<Size>, none: &str) -> String {
    match limit {
        Limit::At(size) => size.0.to_string(),
        Limit::Max => none.to_owned(),
    }
}

fn number_or(limit: Limit<u64>, none: &str) -> String {
    match limit {
        Limit::At(number) => number.to_string(),
        Limit::Max => none.to_owned(),
    }
}

fn quota_or(limit: Limit<Micros>, none: &str) -> String {
    match limit {
        Limit::At(micros) => micros.0.to_string(),
        Limit::Max => none.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::cgroup::{BlockDevice, Pids};
    use crate::plan::facts::Hierarchy;

    fn everything() -> Limits {
        Limits {
            devices: crate::config::cgroup::Devices::default(),
            memory: Memory {
                max: Some(Limit::At(Size(1 << 30))),
                swap: Some(Limit::At(Size(1 << 20))),
                low: Some(Size(4096)),
                high: None,
            },
            cpu: Cpu { weight: Some(200), max: Some(Limit::At(Percent(150))), ..Cpu::default() },
            cpuset: Cpuset { cpus: Some("0-1".parse().unwrap()), mems: None },
            pids: Pids { max: Some(Limit::At(100)) },
            io: Io {
                weight: Some(5_000),
                devices: vec![IoDevice {
                    device: BlockDevice { major: 8, minor: 16 },
                    read_bps: Some(Limit::At(Size(1024))),
                    write_bps: None,
                    read_iops: None,
                    write_iops: Some(Limit::Max),
                }],
            },
            hugetlb: [("2MB".parse().unwrap(), Limit::Max)].into(),
            raw: vec!["memory.oom.group=1".parse().unwrap()],
        }
    }

    /// A host with all controllers in these hierarchies.
    fn host(layout: CgroupLayout, legacy: &[&str], unified: &[&str]) -> CgroupFacts {
        let hierarchy = |unified, controllers: &[&str]| Hierarchy {
            unified,
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            mount: "/sys/fs/cgroup".into(),
            own: String::new(),
            writable: true,
            caller_elsewhere: false,
        };
        CgroupFacts { layout, hierarchies: vec![hierarchy(true, unified), hierarchy(false, legacy)] }
    }

    const CONTROLLERS: [&str; 6] = ["memory", "cpu", "cpuset", "pids", "io", "hugetlb"];
    const LEGACY: [&str; 6] = ["memory", "cpu", "cpuset", "pids", "blkio", "hugetlb"];

    fn unified() -> CgroupFacts {
        host(CgroupLayout::Unified, &[], &CONTROLLERS)
    }

    fn hybrid() -> CgroupFacts {
        host(CgroupLayout::Hybrid, &LEGACY, &[])
    }

    fn lines(limits: &Limits, facts: &CgroupFacts) -> Vec<String> {
        let line = |write: &CgroupWrite| format!("{}: {} {}", write.controller, write.file, write.value);
        writes(limits, facts).unwrap().iter().map(line).collect()
    }

    #[test]
    fn on_v2() {
        assert_eq!(
            lines(&everything(), &unified()),
            [
                "memory: memory.low 4096",
                "memory: memory.max 1073741824",
                "memory: memory.swap.max 1048576",
                "cpu: cpu.weight 200",
                "cpu: cpu.max 150000 100000",
                "cpuset: cpuset.cpus 0-1",
                "pids: pids.max 100",
                "io: io.weight 5000",
                "io: io.max 8:16 rbps=1024 wiops=max",
                "hugetlb: hugetlb.2MB.max max",
                "memory: memory.oom.group 1",
            ]
        );
    }

    #[test]
    fn on_v1() {
        assert_eq!(
            lines(&everything(), &hybrid()),
            [
                "memory: memory.soft_limit_in_bytes 4096",
                "memory: memory.limit_in_bytes 1073741824",
                "memory: memory.memsw.limit_in_bytes 1074790400",
                "cpu: cpu.shares 2048",
                "cpu: cpu.cfs_period_us 100000",
                "cpu: cpu.cfs_quota_us 150000",
                "cpuset: cpuset.cpus 0-1",
                "pids: pids.max 100",
                "blkio: blkio.bfq.weight 1000",
                "blkio: blkio.throttle.read_bps_device 8:16 1024",
                "blkio: blkio.throttle.write_iops_device 8:16 0",
                "hugetlb: hugetlb.2MB.limit_in_bytes -1",
                "memory: memory.oom.group 1",
            ]
        );
    }

    #[test]
    fn shares_and_weights_agree_at_the_usual_value_and_stay_in_range() {
        assert_eq!(shares_from_weight(100), 1024);
        assert_eq!(weight_from_shares(1024), 100);
        for weight in [1, 2, 39, 100, 333, 10_000] {
            let back = weight_from_shares(shares_from_weight(weight));
            assert!(back.abs_diff(weight) <= 1, "{weight} came back as {back}");
        }
        assert_eq!(weight_from_shares(2), 1);
        assert_eq!(weight_from_shares(u64::MAX), WEIGHT_MOST);
    }

    #[test]
    fn what_v1_cannot_do_is_refused() {
        let mut limits = Limits::default();
        limits.memory.high = Some(Limit::At(Size(1)));
        assert_eq!(writes(&limits, &hybrid()), Err(LimitError::NotOnV1 { key: "cgroup.memory.high".into() }));
        limits.memory = Memory { swap: Some(Limit::At(Size(0))), ..Memory::default() };
        assert!(matches!(writes(&limits, &hybrid()), Err(LimitError::Needs { .. })));
    }

    #[test]
    fn ranges_are_checked_before_the_kernel_does() {
        let limits = |cpu| Limits { cpu, ..Limits::default() };
        for cpu in [
            Cpu { weight: Some(0), ..Cpu::default() },
            Cpu { weight: Some(10_001), ..Cpu::default() },
            Cpu { period: Some(Micros(999)), ..Cpu::default() },
            Cpu { quota: Some(Limit::At(Micros(0))), ..Cpu::default() },
            Cpu { max: Some(Limit::At(Percent(0))), ..Cpu::default() },
        ] {
            let result = writes(&limits(cpu), &unified());
            assert!(matches!(result, Err(LimitError::OutOfRange { .. })), "{result:?}");
        }
    }

    #[test]
    fn a_share_and_a_quota_are_the_same_thing() {
        let share = Cpu { max: Some(Limit::At(Percent(20))), period: Some(Micros(50_000)), ..Cpu::default() };
        let limits = |cpu| Limits { cpu, ..Limits::default() };
        assert_eq!(lines(&limits(share.clone()), &unified()), ["cpu: cpu.max 10000 50000"]);
        let both = Cpu { quota: Some(Limit::Max), ..share };
        assert!(matches!(writes(&limits(both), &unified()), Err(LimitError::Twice { .. })));
    }

    #[test]
    fn a_limit_without_cgroups_is_an_error_and_no_limit_is_none() {
        let facts = CgroupFacts { layout: CgroupLayout::Absent, hierarchies: vec![] };
        assert_eq!(writes(&Limits::default(), &facts), Ok(vec![]));
        assert_eq!(
            writes(&everything(), &facts),
            Err(LimitError::NoCgroups { key: "cgroup.memory.low".into() })
        );
    }

    #[test]
    fn each_controller_is_spoken_to_where_it_is() {
        let facts = host(CgroupLayout::Hybrid, &["memory", "blkio"], &["cpu", "pids", "hugetlb"]);
        let lines = lines(&everything(), &facts);
        for expected in [
            "memory: memory.limit_in_bytes 1073741824",
            "cpu: cpu.max 150000 100000",
            "blkio: blkio.throttle.read_bps_device 8:16 1024",
            "hugetlb: hugetlb.2MB.max max",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:?}");
        }
    }
}
