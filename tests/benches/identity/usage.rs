//! What a process has used, out of /proc.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Ends every line of an error about a file there.
fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("read {path}"))
}

/// Processor time of all its threads, those that have ended included.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let stat = read(pid, "stat")?;
    // The name before may hold anything but ends with the last bracket; utime and stime are
    // fields 14 and 15 (proc(5)).
    let rest = stat.rsplit_once(") ").context("stat has no name")?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks =
        |index: usize| -> Result<u64> { Ok(fields.get(index).context("stat is short")?.parse()?) };
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1000 / per_second))
}

/// Names and processor times of the threads that live, by their ids.
fn threads(pid: u32) -> Result<BTreeMap<OsString, (String, Duration)>> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let entry = entry?;
        // A thread may end meanwhile.
        let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
        let Ok(statistics) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
        let time = Duration::from_nanos(statistics.split(' ').next().unwrap_or("0").parse()?);
        threads.insert(entry.file_name(), (name.trim().to_owned(), time));
    }
    Ok(threads)
}

/// Proportional share of memory, KiB.
pub fn pss_kib(pid: u32) -> Result<u64> {
    let text = read(pid, "smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("smaps_rollup has no Pss")?.parse()?)
}

/// What some work cost a process.
pub struct Cost {
    pub total: Duration,
    pub by_thread: BTreeMap<String, Duration>,
}

/// Does the work and tells what it cost the process.
pub fn cost_of<T>(pid: u32, work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let (total, before) = (processor_time(pid)?, threads(pid)?);
    let done = work()?;
    let mut by_thread = BTreeMap::new();
    for (id, (name, time)) in threads(pid)? {
        let before = before.get(&id).map_or(Duration::ZERO, |(_, time)| *time);
        *by_thread.entry(name).or_default() += time.saturating_sub(before);
    }
    Ok((done, Cost { total: processor_time(pid)?.saturating_sub(total), by_thread }))
}

/// Milliseconds with what is behind the point.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl Cost {
    /// Milliseconds for each of `count`.
    pub fn each(&self, count: u32) -> f64 {
        milliseconds(self.total / count)
    }

    /// The same by thread, for what is worth a word.
    pub fn each_by_thread(&self, count: u32) -> BTreeMap<String, f64> {
        let worth = |time: &Duration| *time * 100 > self.total;
        let times = self.by_thread.iter().filter(|(_, time)| worth(time));
        times.map(|(name, time)| (name.clone(), milliseconds(*time / count))).collect()
    }
}
