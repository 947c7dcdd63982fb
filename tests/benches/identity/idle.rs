//! Memory with many devices that hold a connection and say nothing.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::link::{Dial, Identity, Link};
use crate::usage::pss_kib;
use crate::world::{World, joined};

const CONNECTIONS: u32 = 10_000;
/// Below the listener's limit for one address.
const PER_SOURCE: u32 = 1000;
const THREADS: u32 = 2;
/// Time in which the server comes to rest.
const REST: Duration = Duration::from_secs(2);

/// What idle connections cost.
#[derive(Serialize)]
pub struct Figures {
    pub connections: u32,
    pub pss_kib_before: u64,
    pub pss_kib: u64,
}

/// Opens the connections; each makes one request first, as a device does.
pub fn measure(world: &World, identity: &Identity) -> Result<Figures> {
    let pid = world.cloud.pid();
    let pss_kib_before = pss_kib(pid)?;
    let dial = Dial::new(world.device(), &world.root, Some(identity), false)?;
    let open = |first: u32| -> Result<Vec<Link>> {
        (first..CONNECTIONS)
            .step_by(THREADS as usize)
            .map(|number| connect(&dial, number))
            .collect()
    };
    let links: Vec<Vec<Link>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || open(first))).collect();
        workers.into_iter().map(|worker| joined(worker.join())).collect::<Result<_>>()
    })?;
    thread::sleep(REST);
    let figures = Figures { connections: CONNECTIONS, pss_kib_before, pss_kib: pss_kib(pid)? };
    // They are all still served.
    for mut link in links.into_iter().flatten().step_by(500) {
        ensure!(link.get("/api/v1/device/self")?.status == 200, "a connection is not served");
    }
    Ok(figures)
}

fn connect(dial: &Dial, number: u32) -> Result<Link> {
    let host = u8::try_from(1 + number / PER_SOURCE)?;
    let mut link = dial
        .from(Ipv4Addr::new(127, 0, 2, host))
        .open()
        .with_context(|| format!("open connection {number}"))?;
    let answer = link.get("/api/v1/device/self")?;
    ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
    Ok(link)
}
