//! Requests of devices over connections that stay open.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::link::{Dial, Identity};
use crate::usage::{cost_of, milliseconds};
use crate::world::{World, joined};

const PATH: &str = "/api/v1/device/self";
const CONNECTIONS: u32 = 8;
/// Requests per second of all connections together.
const RATE: u32 = 1000;
const PACED: Duration = Duration::from_secs(10);
const UNPACED: Duration = Duration::from_secs(5);

/// How requests are served.
#[derive(Serialize)]
pub struct Figures {
    pub rate: u32,
    /// From the moment at which the request was due.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub longest_ms: f64,
    pub cpu_ms_each: f64,
    cpu_ms_each_by_thread: std::collections::BTreeMap<String, f64>,
    /// With the clients on the same processors.
    pub most_per_second: f64,
}

/// First at a set rate, then as many as go.
pub fn measure(world: &World, identity: &Identity) -> Result<Figures> {
    let dial = Dial::new(world.device(), &world.root, Some(identity), false)?;
    let (latencies, cost) = cost_of(world.cloud.pid(), || at_once(|index| paced(&dial, index)))?;
    let mut latencies: Vec<Duration> = latencies.into_iter().flatten().collect();
    latencies.sort_unstable();
    let count = u32::try_from(latencies.len())?;
    let percentile = |percent: usize| {
        let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
        latencies.get(at).copied().map(milliseconds).context("there was no request")
    };
    let begun = Instant::now();
    let counts = at_once(|_| unpaced(&dial))?;
    let most = f64::from(counts.iter().sum::<u32>()) / begun.elapsed().as_secs_f64();
    Ok(Figures {
        rate: RATE,
        p50_ms: percentile(50)?,
        p99_ms: percentile(99)?,
        longest_ms: percentile(100)?,
        cpu_ms_each: cost.each(count),
        cpu_ms_each_by_thread: cost.each_by_thread(count),
        most_per_second: most,
    })
}

fn at_once<T: Send>(work: impl Fn(u32) -> Result<T> + Sync) -> Result<Vec<T>> {
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..CONNECTIONS).map(|index| scope.spawn(move || work(index))).collect();
        workers.into_iter().map(|worker| joined(worker.join())).collect()
    })
}

/// A request that waits for the one before it is late, and counts as late.
fn paced(dial: &Dial, index: u32) -> Result<Vec<Duration>> {
    let mut link = dial.open()?;
    let interval = Duration::from_secs(1) * CONNECTIONS / RATE;
    let begun = Instant::now() + interval * index / CONNECTIONS;
    let mut latencies = Vec::new();
    for number in 0.. {
        let due = begun + interval * number;
        if due - begun >= PACED {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        ensure!(link.get(PATH)?.status == 200, "a request was not served");
        latencies.push(due.elapsed());
    }
    Ok(latencies)
}

fn unpaced(dial: &Dial) -> Result<u32> {
    let mut link = dial.open()?;
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < UNPACED {
        ensure!(link.get(PATH)?.status == 200, "a request was not served");
        count += 1;
    }
    Ok(count)
}
