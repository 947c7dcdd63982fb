//! Between the enroller and its TPM: passes every command on and takes the time of each.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use holdfast_tpm::swtpm::Swtpm;

use crate::world::lock;

/// Time per command code.
pub type Times = BTreeMap<u32, Duration>;

/// Listens on two neighbouring ports, as the TSS expects of a software TPM.
pub struct TpmBus {
    port: u16,
    times: Arc<Mutex<Times>>,
}

/// Below the range that Linux hands out, and above that of the software TPMs of tests.
const PORTS: std::ops::Range<u16> = 32_000..32_700;

impl TpmBus {
    /// Before a TPM; the threads end with the process.
    pub fn before(swtpm: &Swtpm) -> Result<Self> {
        let target: u16 = swtpm.tcti().rsplit_once("port=").context("no port")?.1.parse()?;
        let at = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let (port, commands, control) = PORTS
            .step_by(2)
            .find_map(|port| Some((port, at(port).ok()?, at(port + 1).ok()?)))
            .context("no two neighbouring ports are free")?;
        let times = Arc::new(Mutex::new(Times::new()));
        let shared = Arc::clone(&times);
        thread::spawn(move || {
            for stream in commands.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // The end of the connection is the end of either side.
                thread::spawn(move || pass_commands(stream, target, &shared));
            }
        });
        thread::spawn(move || {
            for stream in control.incoming().flatten() {
                pass_bytes(&stream, target + 1);
            }
        });
        Ok(Self { port, times })
    }

    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// What the commands so far took.
    pub fn times(&self) -> Times {
        lock(&self.times).clone()
    }
}

fn pass_commands(mut device: TcpStream, target: u16, times: &Mutex<Times>) -> Option<()> {
    let mut tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
    for stream in [&device, &tpm] {
        stream.set_nodelay(true).ok()?;
    }
    loop {
        let command = read_structure(&mut device)?;
        let code = u32::from_be_bytes(command.get(6..10)?.try_into().ok()?);
        let begun = Instant::now();
        tpm.write_all(&command).ok()?;
        let response = read_structure(&mut tpm)?;
        *lock(times).entry(code).or_default() += begun.elapsed();
        device.write_all(&response).ok()?;
    }
}

/// A command or response: tag, length of the whole, the rest (Part 1, 18).
fn read_structure(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 6];
    stream.read_exact(&mut bytes).ok()?;
    let length = u32::from_be_bytes(bytes[2..6].try_into().ok()?);
    bytes.resize(usize::try_from(length).ok()?, 0);
    stream.read_exact(bytes.get_mut(6..)?).ok()?;
    Some(bytes)
}

fn pass_bytes(device: &TcpStream, target: u16) {
    let Ok(tpm) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { return };
    for (from, to) in [(device, &tpm), (&tpm, device)] {
        if let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) {
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
        }
    }
}

/// A name of Part 2, 6.5.2, for the commands of an enrolment.
pub fn command_name(code: u32) -> String {
    let name = match code {
        0x120 => "EvictControl",
        0x131 => "CreatePrimary",
        0x147 => "ActivateCredential",
        0x148 => "Certify",
        0x14E => "NV_Read",
        0x153 => "Create",
        0x157 => "Load",
        0x158 => "Quote",
        0x159 => "RSA_Decrypt",
        0x15D => "Sign",
        0x165 => "FlushContext",
        0x169 => "NV_ReadPublic",
        0x173 => "ReadPublic",
        0x176 => "StartAuthSession",
        0x17A => "GetCapability",
        0x17E => "PCR_Read",
        0x151 => "PolicySecret",
        other => return format!("{other:#x}"),
    };
    name.to_owned()
}
