#![forbid(unsafe_code)]
//! What a container uses, from whichever files this host has.

use std::{path::Path, time::Duration};

use serde::Serialize;

use super::{Cgroups, Place};

/// Usage; `None` where the host does not count it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    pub memory: Option<MemoryUsage>,
    /// Processor time of all processes since the start.
    pub cpu: Option<Duration>,
    /// Bytes read from and written to block devices.
    pub io: Option<IoUsage>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemoryUsage {
    /// With page cache.
    pub current: u64,
    /// The most since the start, on kernels that keep it.
    pub peak: Option<u64>,
    /// `None`: not limited.
    pub max: Option<u64>,
    pub swap: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct IoUsage {
    pub read: u64,
    pub written: u64,
}

impl Cgroups {
    /// The usage at this moment. What cannot be read, because the controller is missing or the
    /// container just went away, is left out.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics { memory: self.memory(), cpu: self.cpu(), io: self.io(), tasks: self.tasks() }
    }

    /// Whether a process was killed because memory ran out; not known where the kernel does not count that.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        let Some(place) = self.place_of("memory") else { return false };
        let counted = |name: &str| {
            let text = std::fs::read_to_string(place.payload.join(name)).ok()?;
            let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
            count.trim().parse::<u64>().ok()
        };
        counted("memory.events").or_else(|| counted("memory.oom_control")).is_some_and(|count| count > 0)
    }

    /// The memory alone.
    pub(crate) fn memory(&self) -> Option<MemoryUsage> {
        let place = self.place_of("memory")?;
        let file = |name: &str| place.payload.join(name);
        if place.unified {
            return Some(MemoryUsage {
                current: number(&file("memory.current"))?,
                peak: number(&file("memory.peak")),
                max: number(&file("memory.max")),
                swap: number(&file("memory.swap.current")),
            });
        }
        let current = number(&file("memory.usage_in_bytes"))?;
        let both = number(&file("memory.memsw.usage_in_bytes"));
        Some(MemoryUsage {
            current,
            peak: number(&file("memory.max_usage_in_bytes")),
            max: number(&file("memory.limit_in_bytes")).filter(|limit| *limit < UNLIMITED),
            // The two are not read at the same instant.
            swap: both.map(|both| both.saturating_sub(current)),
        })
    }

    fn cpu(&self) -> Option<Duration> {
        // The v2 tree counts this without a controller, so also on a hybrid host.
        if let Some(place) = self.unified()
            && let Some(usage) = keyed(&text(&place.payload.join("cpu.stat"))?, "usage_usec")
        {
            return Some(Duration::from_micros(usage));
        }
        let place = self.place_of("cpuacct")?;
        number(&place.payload.join("cpuacct.usage")).map(Duration::from_nanos)
    }

    fn io(&self) -> Option<IoUsage> {
        if let Some(place) = self.place_of("io") {
            return Some(io_stat(&text(&place.payload.join("io.stat"))?));
        }
        let Place { payload, .. } = self.place_of("blkio")?;
        let files = ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"];
        let text = files.iter().find_map(|file| text(&payload.join(file)))?;
        Some(service_bytes(&text))
    }

    fn tasks(&self) -> Option<u64> {
        number(&self.place_of("pids")?.payload.join("pids.current"))
    }
}

/// v1 shows "no limit" as the largest multiple of the page size; pages have 4 to 64 kB.
const UNLIMITED: u64 = (i64::MAX as u64) & !0xffff;

fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// A file with one number; `max` is none.
fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// `KEY VALUE` lines.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// `8:0 rbytes=1 wbytes=2 ...`, one line per device.
fn io_stat(text: &str) -> IoUsage {
    let sum = |key: &str| {
        text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
    };
    IoUsage { read: sum("rbytes="), written: sum("wbytes=") }
}

/// `8:0 Read 1`, `8:0 Write 2`, ..., and `Total 3`.
fn service_bytes(text: &str) -> IoUsage {
    let sum = |kind: &str| {
        let value = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            (words.next()? == kind).then(|| words.next()?.parse::<u64>().ok())?
        };
        text.lines().filter_map(value).sum()
    };
    IoUsage { read: sum("Read"), written: sum("Write") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroups(directory: &Path, unified: bool, controllers: &[&str], files: &[(&str, &str)]) -> Cgroups {
        for (name, text) in files {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
        Cgroups { places: vec![Place { unified, controllers, payload: directory.to_owned(), monitor: None }] }
    }

    #[test]
    fn of_v2() {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            ("memory.current", "1048576\n"),
            ("memory.max", "max\n"),
            ("memory.swap.current", "0\n"),
            ("cpu.stat", "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n"),
            (
                "io.stat",
                "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=1\n",
            ),
            ("pids.current", "7\n"),
        ];
        let cgroups = cgroups(directory.path(), true, &["memory", "io", "pids"], &files);
        let memory = MemoryUsage { current: 1 << 20, peak: None, max: None, swap: Some(0) };
        assert_eq!(
            cgroups.statistics(),
            Statistics {
                memory: Some(memory),
                cpu: Some(Duration::from_millis(1500)),
                io: Some(IoUsage { read: 11, written: 22 }),
                tasks: Some(7),
            }
        );
    }

    #[test]
    fn of_v1() {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            ("memory.usage_in_bytes", "4096\n"),
            ("memory.max_usage_in_bytes", "8192\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.memsw.usage_in_bytes", "4100\n"),
            ("cpuacct.usage", "2000000000\n"),
            (
                "blkio.throttle.io_service_bytes",
                "8:0 Read 5\n8:0 Write 6\n8:0 Total 11\n7:0 Read 1\nTotal 12\n",
            ),
        ];
        let cgroups = cgroups(directory.path(), false, &["memory", "cpuacct", "blkio"], &files);
        let memory = MemoryUsage { current: 4096, peak: Some(8192), max: None, swap: Some(4) };
        assert_eq!(
            cgroups.statistics(),
            Statistics {
                memory: Some(memory),
                cpu: Some(Duration::from_secs(2)),
                io: Some(IoUsage { read: 6, written: 6 }),
                tasks: None,
            }
        );
    }

    #[test]
    fn of_a_container_that_is_gone() {
        let gone = Place {
            unified: true,
            controllers: vec!["memory".into(), "io".into(), "pids".into()],
            payload: "/nonexistent".into(),
            monitor: None,
        };
        assert_eq!(Cgroups { places: vec![gone] }.statistics(), Statistics::default());
    }
}
