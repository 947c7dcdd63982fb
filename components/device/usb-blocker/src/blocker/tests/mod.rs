//! The blocker on a kernel in memory.

mod cloud;
mod files;
mod model;
mod orders;
mod ports;
mod scenes;
mod usbguard;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_ipc::usb::{Lasting, Order};
use holdfast_usb_rules::{TimeOfDay, Verdict};

use super::{Blocker, Files, Note, NoteOutcome, Scope};
use crate::clock::Now;
use crate::config::Config;
use crate::sysfs::fake::FakeSysfs;

/// A device under test: its kernel and files stay while the daemon comes and goes.
struct Bench {
    kernel: FakeSysfs,
    folder: tempfile::TempDir,
    config: Config,
    now: Now,
    blocker: Option<Blocker<FakeSysfs>>,
    notes: Vec<Note>,
    /// When it wants to be called next.
    wake: Duration,
}

impl Bench {
    /// With these rules of the image; ports 1 to 3 of the controller are in use.
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::write(folder.path().join("image-rules"), rules).unwrap();
        let place = "pci0000:00/0000:00:04.0/hs";
        let list = format!("used {place}/1\nused {place}/2\nused {place}/3\nused {place}/1.*\n");
        fs::write(folder.path().join("image-ports"), list).unwrap();
        let now = Now {
            uptime: Duration::from_secs(100),
            local_time: TimeOfDay::new(12, 0, 0),
            may_allow: true,
        };
        Self {
            kernel: FakeSysfs::new(),
            folder,
            config: Config::default(),
            now,
            blocker: None,
            notes: Vec::new(),
            wake: Duration::ZERO,
        }
    }

    /// The same, with the daemon running.
    fn started(rules: &str) -> Self {
        let mut bench = Self::new(rules);
        bench.start();
        bench
    }

    fn start(&mut self) {
        let path = |name| self.folder.path().join(name);
        let files = Files {
            state: self.folder.path().to_owned(),
            runtime: path("run"),
            rules: path("image-rules"),
            ports: path("image-ports"),
        };
        self.blocker = Some(Blocker::new(self.kernel.clone(), &self.config, files));
        self.look(Scope::Everything);
    }

    /// kill -9.
    fn kill(&mut self) {
        self.blocker = None;
    }

    fn blocker(&mut self) -> &mut Blocker<FakeSysfs> {
        self.blocker.as_mut().unwrap()
    }

    /// Looks as often as the kernel goes on.
    fn look(&mut self, scope: Scope) {
        for _ in 0..4 {
            self.kernel.enumerate();
            let now = self.now;
            let Some(blocker) = &mut self.blocker else { return };
            self.wake = blocker.reconcile(&now, scope);
            self.notes.extend(blocker.take_news().notes);
        }
    }

    fn on_event(&mut self) {
        self.look(Scope::Events);
    }

    fn after(&mut self, seconds: u64) {
        self.now.uptime += Duration::from_secs(seconds);
        let seconds = u32::try_from(seconds).unwrap();
        self.now.local_time = self.now.local_time.map(|time| time.plus(seconds));
        self.on_event();
    }

    /// The notes since the last call: action and the reason, if there is one.
    fn told(&mut self) -> Vec<String> {
        let notes = std::mem::take(&mut self.notes);
        let tell = |note: &Note| match &note.outcome {
            NoteOutcome::Done => note.action.to_owned(),
            NoteOutcome::Denied(why) => format!("{} denied: {why}", note.action),
            NoteOutcome::Failed(why) => format!("{} failed: {why}", note.action),
        };
        notes.iter().map(tell).collect()
    }

    /// Number of the device of this name.
    fn number(&mut self, name: &str) -> u32 {
        let now = self.now;
        let devices = self.blocker().devices(&now);
        devices.iter().find(|device| device.device == name).unwrap().id
    }

    fn order(&mut self, name: &str, verdict: Verdict, lasting: Lasting) {
        let (device, now) = (self.number(name), self.now);
        self.blocker().decide(Order { device, verdict, lasting }, &now).unwrap();
        self.on_event();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn usable(&self, name: &str) -> bool {
        self.kernel.is_usable(name, 0)
    }
}
