use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::machine::NETWORK_ID;
use crate::{Error, Result};

/// Something that happened in the machine, as QMP tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number since power-on, from 0.
    pub number: u64,
    /// QMP's name, such as `RESET`, `SHUTDOWN`, `WATCHDOG` or `DEVICE_DELETED`.
    pub name: String,
    /// QMP's data.
    pub data: Value,
    /// Since power-on.
    pub at: Duration,
}

/// QEMU's monitor (the QEMU machine protocol, docs/interop/qmp-spec). One command at a time;
/// events are kept.
#[derive(Debug)]
pub struct Qmp {
    stream: Mutex<UnixStream>,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    replies: VecDeque<Value>,
    events: Vec<Event>,
    next_id: u64,
    /// Why the connection ended.
    ended: Option<String>,
}

/// QEMU answers at once, but on a busy machine "at once" is long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Qmp {
    /// Reads QEMU's greeting and negotiates. Event times count from `begun`.
    pub fn connect(stream: UnixStream, begun: Instant) -> Result<Self> {
        let reading = stream.try_clone().map_err(|error| broken(error.to_string()))?;
        let shared = Arc::new(Shared::default());
        let for_reader = Arc::clone(&shared);
        let reader = thread::Builder::new()
            .name("qmp".into())
            .spawn(move || read_messages(reading, &for_reader, begun))
            .map_err(|error| broken(error.to_string()))?;
        let qmp = Self { stream: Mutex::new(stream), shared, reader: Some(reader) };
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Runs a command; its arguments are a JSON object, or null.
    pub fn execute(&self, command: &str, arguments: Value) -> Result<Value> {
        // Held until the reply is here, so that commands do not mix.
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let id = {
            let mut inbox = self.shared.lock();
            inbox.next_id += 1;
            inbox.next_id
        };
        let mut message = json!({ "execute": command, "id": id });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        let sent = stream.write_all(format!("{message}\n").as_bytes());
        let reply = self.shared.wait(PATIENCE, &format!("QEMU's answer to {command}"), |inbox| {
            let found = inbox.replies.iter().position(|reply| reply["id"] == json!(id));
            found.and_then(|index| inbox.replies.remove(index))
        });
        let mut reply = match (reply, sent) {
            (Ok(reply), _) => reply,
            (Err(_), Err(error)) => return Err(broken(format!("cannot send {command}: {error}"))),
            (Err(error), Ok(())) => return Err(error),
        };
        if let Some(error) = reply.get("error") {
            let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
            return Err(Error::Qmp {
                command: command.to_owned(),
                class: text("class"),
                description: text("desc"),
            });
        }
        Ok(reply["return"].take())
    }

    /// How many events there have been; [`Qmp::wait_event`] can look from there on.
    pub fn event_count(&self) -> u64 {
        self.shared.lock().events.len() as u64
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().events.clone()
    }

    /// Waits for an event called `name` with a number of at least `from`.
    pub fn wait_event(&self, name: &str, from: u64, timeout: Duration) -> Result<Event> {
        self.wait_matching(name, from, timeout, |_| true)
    }

    fn wait_matching(
        &self,
        name: &str,
        from: u64,
        timeout: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Event> {
        self.shared.wait(timeout, &format!("QMP event {name}"), |inbox| {
            inbox
                .events
                .iter()
                .find(|event| event.number >= from && event.name == name && fits(&event.data))
                .cloned()
        })
    }

    /// QEMU's run state: "running", "paused", "shutdown", ...
    pub fn status(&self) -> Result<String> {
        let status = self.execute("query-status", Value::Null)?;
        Ok(status["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Presses the reset button.
    pub fn system_reset(&self) -> Result<()> {
        self.execute("system_reset", Value::Null).map(drop)
    }

    /// Presses the power button: the guest is asked to shut down.
    pub fn system_powerdown(&self) -> Result<()> {
        self.execute("system_powerdown", Value::Null).map(drop)
    }

    /// Ends QEMU in good order.
    pub fn quit(&self) -> Result<()> {
        self.execute("quit", Value::Null).map(drop)
    }

    /// Halts the processors.
    pub fn stop(&self) -> Result<()> {
        self.execute("stop", Value::Null).map(drop)
    }

    /// Lets the processors run.
    pub fn cont(&self) -> Result<()> {
        self.execute("cont", Value::Null).map(drop)
    }

    /// Plugs the network cable in or out.
    pub fn set_link(&self, up: bool) -> Result<()> {
        self.execute("set_link", json!({ "name": NETWORK_ID, "up": up })).map(drop)
    }

    /// Plugs a device in. `properties` has at least `driver` and `id`.
    pub fn device_add(&self, properties: Value) -> Result<()> {
        self.execute("device_add", properties).map(drop)
    }

    /// Unplugs a device and waits until it is out.
    pub fn device_del(&self, id: &str, timeout: Duration) -> Result<()> {
        let from = self.event_count();
        self.execute("device_del", json!({ "id": id }))?;
        self.wait_matching("DEVICE_DELETED", from, timeout, |data| data["device"] == id).map(drop)
    }

    /// Adds a block device that no machine device uses yet.
    pub fn blockdev_add(&self, options: Value) -> Result<()> {
        self.execute("blockdev-add", options).map(drop)
    }

    /// Removes a block device that no machine device uses any more.
    pub fn blockdev_del(&self, node_name: &str) -> Result<()> {
        self.execute("blockdev-del", json!({ "node-name": node_name })).map(drop)
    }

    /// How many bytes the machine has read from the storage device `id` and written to it, since it was
    /// plugged in (`query-blockstats`).
    pub fn storage_traffic(&self, id: &str) -> Result<u64> {
        let all = self.execute("query-blockstats", Value::Null)?;
        let place = format!("/machine/peripheral/{id}/");
        let of_device = |stats: &&Value| {
            stats["qdev"].as_str().is_some_and(|path| format!("{path}/").starts_with(&place))
        };
        let stats = all.as_array().and_then(|all| all.iter().find(of_device));
        let count = |key: &str| stats.and_then(|stats| stats["stats"][key].as_u64());
        let counts = count("rd_bytes").zip(count("wr_bytes"));
        let (read, written) =
            counts.ok_or_else(|| broken(format!("QEMU counts nothing of {id}: {all}")))?;
        Ok(read + written)
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T>(
        &self,
        timeout: Duration,
        what: &str,
        mut look: impl FnMut(&mut Inbox) -> Option<T>,
    ) -> Result<T> {
        let begun = Instant::now();
        let mut inbox = self.lock();
        loop {
            if let Some(found) = look(&mut inbox) {
                return Ok(found);
            }
            if let Some(reason) = &inbox.ended {
                return Err(Error::Ended { what: what.to_owned(), context: reason.clone() });
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let names: Vec<&str> = inbox.events.iter().map(|e| e.name.as_str()).collect();
                let context = format!("events so far: {}", names.join(", "));
                return Err(Error::Timeout { what: what.to_owned(), after: timeout, context });
            }
            inbox =
                self.changed.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn read_messages(stream: UnixStream, shared: &Shared, begun: Instant) {
    let mut ended = "QEMU closed the monitor".to_owned();
    for line in BufReader::new(stream).lines() {
        let message: Result<Value, String> = line
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()));
        let mut message = match message {
            Ok(message) => message,
            Err(error) => {
                ended = format!("QEMU's monitor: {error}");
                break;
            }
        };
        let mut inbox = shared.lock();
        if let Some(name) = message["event"].as_str() {
            let name = name.to_owned();
            let number = inbox.events.len() as u64;
            let data = message["data"].take();
            inbox.events.push(Event { number, name, data, at: begun.elapsed() });
        } else if message.get("return").or(message.get("error")).is_some() {
            inbox.replies.push_back(message);
        }
        drop(inbox);
        shared.changed.notify_all();
    }
    shared.lock().ended = Some(ended);
    shared.changed.notify_all();
}

fn broken(reason: String) -> Error {
    Error::Protocol { peer: "QMP", reason }
}

#[cfg(test)]
#[path = "qmp_tests.rs"]
mod tests;
