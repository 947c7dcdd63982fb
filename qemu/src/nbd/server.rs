use std::fs;
use std::io::{self, BufReader};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::handshake::{Agreed, negotiate};
use super::store::Store;
use super::transmission::{self, Target};
use super::volatile::{Counters, CutReport, Durability, VolatileDisk};
use crate::Rng;

type SharedDisk = VolatileDisk<Box<dyn Store>>;

/// A [`VolatileDisk`] served over a Unix socket, on threads of its own.
///
/// Dropping the server ends all connections and settles the disk, as when a device is switched off
/// in good order; [`Server::cut_power`] is the other way.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    socket: PathBuf,
    size: u64,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` after the power was cut or the server stopped: there is nothing left to ask.
    disk: Option<SharedDisk>,
    /// The disk stops answering once the guest has made this many writes.
    freeze_after_writes: Option<u64>,
    stopping: bool,
    connections: Vec<(JoinHandle<()>, UnixStream)>,
}

impl State {
    fn is_frozen(&self) -> bool {
        match (&self.disk, self.freeze_after_writes) {
            (Some(disk), Some(limit)) => disk.counters().writes >= limit,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}

impl Server {
    /// Serves `disk` at `socket`, which must not exist.
    pub fn start(disk: VolatileDisk<Box<dyn Store>>, socket: &Path) -> io::Result<Self> {
        let size = disk.size();
        let listener = UnixListener::bind(socket)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                disk: Some(disk),
                freeze_after_writes: None,
                stopping: false,
                connections: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("nbd-accept".into())
            .spawn(move || accept(&listener, &for_acceptor))?;
        Ok(Self { shared, socket: socket.to_owned(), size, acceptor: Some(acceptor) })
    }

    /// Where clients connect.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The disk's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What the guest has asked so far.
    pub fn counters(&self) -> Counters {
        self.shared.lock().disk.as_ref().map(VolatileDisk::counters).unwrap_or_default()
    }

    /// Stops answering once the guest has made `writes` writes in all; the guest then only waits.
    pub fn freeze_after_writes(&self, writes: u64) {
        self.shared.lock().freeze_after_writes = Some(writes);
        self.shared.changed.notify_all();
    }

    /// Waits until the disk has stopped answering; false after `timeout`.
    pub fn wait_frozen(&self, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        let mut state = self.shared.lock();
        while !state.is_frozen() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.wait(state, left);
        }
        true
    }

    /// Stops answering now. Kill the guest before [`Server::cut_power`] ends its connection.
    pub fn freeze(&self) {
        self.freeze_after_writes(0);
    }

    /// Cuts the disk's power: a random part of the writes since the last flush is lost.
    pub fn cut_power(self, rng: &mut Rng) -> io::Result<CutReport> {
        let Some(mut disk) = self.shared.lock().disk.take() else {
            return Ok(CutReport::default());
        };
        disk.cut(rng)
    }

    fn stop(&mut self) -> io::Result<()> {
        let (disk, connections) = {
            let mut state = self.shared.lock();
            state.stopping = true;
            (state.disk.take(), std::mem::take(&mut state.connections))
        };
        self.shared.changed.notify_all();
        // Wakes the acceptor, which then sees that it must stop.
        drop(UnixStream::connect(&self.socket));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for (worker, connection) in connections {
            // Its client may have hung up already.
            let _ = connection.shutdown(Shutdown::Both);
            let _ = worker.join();
        }
        let _ = fs::remove_file(&self.socket);
        disk.map_or(Ok(()), |mut disk| disk.settle())
    }

    /// Ends all connections and writes everything back.
    pub fn finish(mut self) -> io::Result<()> {
        self.stop()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("disk served at {}: {error}", self.socket.display());
        }
    }
}

impl Shared {
    /// A worker that panicked leaves a disk that is still whole: every change is one call.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Runs `operation` on the disk; waits while it is frozen, fails when it is gone.
    fn with_disk<T>(
        &self,
        operation: impl FnOnce(&mut SharedDisk) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock();
        while state.is_frozen() && !state.stopping {
            self.changed.notify_all();
            state = self.wait(state, Duration::from_secs(1));
        }
        if state.stopping {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let Some(disk) = state.disk.as_mut() else {
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        let outcome = operation(disk);
        if state.is_frozen() {
            self.changed.notify_all();
        }
        outcome
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let mut state = shared.lock();
        if state.stopping {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(ours) = stream.try_clone() else { continue };
        let for_worker = Arc::clone(shared);
        let worker = thread::Builder::new().name("nbd".into()).spawn(move || {
            // A client that dies or misbehaves loses its connection; the disk stays as it is.
            let _ = converse(&stream, &for_worker);
            let _ = stream.shutdown(Shutdown::Both);
        });
        if let Ok(worker) = worker {
            state.connections.retain(|(worker, _)| !worker.is_finished());
            state.connections.push((worker, ours));
        }
    }
}

fn converse(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    let size = shared.with_disk(|disk| Ok(disk.size()))?;
    let (mut input, mut output) = (BufReader::with_capacity(128 << 10, stream), stream);
    match negotiate(&mut input, &mut output, size)? {
        Agreed::Goodbye => Ok(()),
        Agreed::Transmission => {
            transmission::serve(&mut input, &mut output, &Connection { shared, size })
        }
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    size: u64,
}

impl Target for Connection<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.shared.with_disk(|disk| disk.read(offset, buffer))
    }
    fn write(&self, offset: u64, data: Vec<u8>, durability: Durability) -> io::Result<()> {
        self.shared.with_disk(|disk| disk.write(offset, data, durability))
    }
    fn zero(&self, range: (u64, u64), durability: Durability, discard: bool) -> io::Result<()> {
        let (offset, length) = range;
        self.shared.with_disk(|disk| {
            if discard {
                disk.discard(offset, length)
            } else {
                disk.zero(offset, length, durability)
            }
        })
    }
    fn flush(&self) -> io::Result<()> {
        self.shared.with_disk(VolatileDisk::flush)
    }
    fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
