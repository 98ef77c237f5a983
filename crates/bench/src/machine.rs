//! The machine that a result is from: without it a number means nothing.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::outcome::{Latencies, Percentiles};

/// How many times the disk's latency is measured; a quarter of a second on a good one.
const SYNCS: u32 = 500;
/// What is written before each: a page, as a log's append would be.
const SYNC_BYTES: usize = 4096;

/// A machine that does nothing else has a load below this.
const QUIET_LOAD: f64 = 0.5;

/// As far as it can be found out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// As the processor calls itself.
    pub cpu: String,
    /// Those that this process may use.
    pub cores: usize,
    /// All memory.
    pub memory_mb: u64,
    /// Name and release.
    pub kernel: String,
    /// What holds the data directory.
    pub disk: String,
    /// 4 KiB written in place and `fdatasync`, one after the other.
    pub fdatasync: Option<Percentiles>,
    /// Processes that wanted to run, a mean over the minute before: other work than this.
    pub load_before: Option<f64>,
}

impl Machine {
    /// Of the machine, and of the disk that holds `dir`.
    pub fn describe(dir: &Path) -> io::Result<Machine> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Ok(Machine {
            cpu: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mb: memory_mb(&read("/proc/meminfo")),
            kernel: format!(
                "{} {}",
                std::env::consts::OS,
                read("/proc/sys/kernel/osrelease").trim()
            ),
            disk: disk(&read("/proc/self/mountinfo"), &dir.canonicalize()?),
            fdatasync: fdatasync(dir)?.percentiles(),
            load_before: load(),
        })
    }

    /// What makes its numbers worth less than they seem.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        // In memory fsync costs nothing and means nothing.
        if self.disk.starts_with("tmpfs") {
            warnings.push(
                "the data directory is in memory, so nothing is durable: name a disk with --dir".to_owned(),
            );
        }
        if let Some(load) = self.load_before.filter(|load| *load > QUIET_LOAD) {
            warnings.push(format!(
                "the machine is busy with other work (load {load}), which shares its time"
            ));
        }
        warnings
    }

    /// On one line.
    pub fn line(&self) -> String {
        let fdatasync = self.fdatasync.map_or_else(String::new, |fdatasync| {
            format!(
                ", fdatasync p50 {:.3} ms, p99 {:.3} ms",
                fdatasync.p50_ms, fdatasync.p99_ms
            )
        });
        format!(
            "{}, {} cores, {} GB, {}, {}{fdatasync}",
            self.cpu,
            self.cores,
            self.memory_mb / 1024,
            self.kernel,
            self.disk,
        )
    }
}

/// Processes that want to run, a mean over the last minute.
pub fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// The first `name : value` of a file of such lines.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

fn memory_mb(meminfo: &str) -> u64 {
    let total = field(meminfo, "MemTotal").unwrap_or_default();
    let kb = total.split(' ').next().and_then(|kb| kb.parse::<u64>().ok());
    kb.unwrap_or_default() / 1024
}

/// The file system that holds a path, as `type on source`: of proc(5)'s mountinfo the line whose mount point is the
/// path's longest ancestor; the last such line when one is mounted over another.
fn disk(mountinfo: &str, path: &Path) -> String {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = Path::new(before.split(' ').nth(4)?);
        let mut after = after.split(' ');
        let disk = format!("{} on {}", after.next()?, after.next()?);
        path.starts_with(point).then_some((point.as_os_str().len(), disk))
    });
    let deepest = mounts.max_by_key(|(length, _)| *length);
    deepest.map_or_else(|| "an unknown disk".to_owned(), |(_, disk)| disk)
}

fn fdatasync(dir: &Path) -> io::Result<Latencies> {
    use std::os::unix::fs::FileExt;
    let mut file: File = tempfile::tempfile_in(dir)?;
    let page = [0x5a; SYNC_BYTES];
    for _ in 0..SYNCS {
        file.write_all(&page)?;
    }
    file.sync_all()?;
    let mut latencies = Latencies::new();
    for at in 0..u64::from(SYNCS) {
        let began = Instant::now();
        file.write_all_at(&page, at * SYNC_BYTES as u64)?;
        file.sync_data()?;
        latencies.record(began.elapsed());
    }
    Ok(latencies)
}

/// Today in UTC, `YYYY-MM-DD`.
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date((since.as_secs() / 86_400) as i64)
}

/// The date of a day since 1970-01-01, by eras of 400 years that begin on a 1 March.
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
fn date(day: i64) -> String {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (11_015, "2000-02-28"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_088, "2024-12-31"),
            (20_089, "2025-01-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(day), expected);
        }
    }

    #[test]
    fn the_disk_is_the_deepest_mount_above() {
        let mountinfo = "\
1 0 254:0 / / rw,noatime shared:1 - ext4 /dev/vda rw
2 1 0:5 / /tmp rw - tmpfs tmpfs rw
3 1 0:6 / /tmpx rw shared:2 master:1 - xfs /dev/sdb rw
";
        assert_eq!(disk(mountinfo, Path::new("/tmp/a")), "tmpfs on tmpfs");
        assert_eq!(disk(mountinfo, Path::new("/tmpx")), "xfs on /dev/sdb");
        assert_eq!(disk(mountinfo, Path::new("/home")), "ext4 on /dev/vda");
        assert_eq!(disk("", Path::new("/home")), "an unknown disk");
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(memory_mb("MemTotal:       24576 kB\nMemFree: 1 kB\n"), 24);
    }

    #[test]
    fn this_machine_can_be_described() {
        let dir = tempfile::tempdir().expect("a directory");
        let machine = Machine::describe(dir.path()).expect("a disk that can be written");
        assert_eq!(machine.fdatasync.expect("measured").sampled, u64::from(SYNCS));
    }
}
