//! Mutual TLS handshakes, full and resumed: the device listener beside OpenSSL's `s_server` with
//! the same certificates and the same client.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde::Serialize;

use crate::link::{Dial, Identity};
use crate::usage::cost_of;
use crate::world::World;

const FULL: u32 = 1000;
const RESUMED: u32 = 2000;
const START: Duration = Duration::from_secs(10);

/// What handshakes cost a server.
#[derive(Serialize)]
pub struct Figures {
    full: u32,
    pub full_cpu_ms_each: f64,
    full_cpu_ms_each_by_thread: BTreeMap<String, f64>,
    resumed: u32,
    pub resumed_cpu_ms_each: f64,
    resumed_cpu_ms_each_by_thread: BTreeMap<String, f64>,
}

/// The connector's device listener.
pub fn of_connector(world: &World, identity: &Identity) -> Result<Figures> {
    measure(world, identity, world.cloud.pid(), world.device())
}

/// OpenSSL's test server.
pub fn of_openssl(world: &World, identity: &Identity) -> Result<Figures> {
    let mut server = Openssl::start(world)?;
    let figures = measure(world, identity, server.process.id(), server.address);
    ensure!(server.process.try_wait()?.is_none(), "openssl s_server ended");
    figures
}

fn measure(world: &World, identity: &Identity, pid: u32, server: SocketAddr) -> Result<Figures> {
    let dial = |resumes| Dial::new(server, &world.root, Some(identity), resumes);
    let ((), full) = cost_of(pid, || repeat(&dial(false)?, FULL, false))?;
    let resuming = dial(true)?;
    repeat(&resuming, 1, false)?;
    let ((), resumed) = cost_of(pid, || repeat(&resuming, RESUMED, true))?;
    Ok(Figures {
        full: FULL,
        full_cpu_ms_each: full.each(FULL),
        full_cpu_ms_each_by_thread: full.each_by_thread(FULL),
        resumed: RESUMED,
        resumed_cpu_ms_each: resumed.each(RESUMED),
        resumed_cpu_ms_each_by_thread: resumed.each_by_thread(RESUMED),
    })
}

fn repeat(dial: &Dial, count: u32, is_resumed: bool) -> Result<()> {
    for _ in 0..count {
        let mut link = dial.open()?;
        link.wait_for_ticket()?;
        ensure!(link.was_resumed() == is_resumed, "resumed or not, against what was wanted");
    }
    Ok(())
}

struct Openssl {
    process: Child,
    address: SocketAddr,
}

impl Openssl {
    /// With the connector's own certificate, asking for a device's.
    fn start(world: &World) -> Result<Self> {
        let data = world.cloud.data();
        let anchors = world.path("anchors.pem");
        let read = |name: &str| fs::read_to_string(data.join("ca").join(name));
        fs::write(&anchors, [read("root.crt")?, read("issuing.crt")?].concat())?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = free.local_addr()?;
        drop(free);
        let process = Command::new("openssl")
            .args(["s_server", "-tls1_3", "-quiet", "-www", "-Verify", "3"])
            .args(["-verify_return_error", "-accept", &address.to_string(), "-cert"])
            .arg(data.join("tls/server.crt"))
            .arg("-key")
            .arg(data.join("tls/server.key"))
            .arg("-CAfile")
            .arg(&anchors)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { process, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > START {
                bail!("openssl s_server does not listen at {address}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
