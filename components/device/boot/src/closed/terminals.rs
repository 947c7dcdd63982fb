//! Reading what is typed, at every console at once.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Result,
    termios::{OptionalActions, QueueSelector, isatty, tcflush, tcgetattr, tcsetattr},
};

use super::consoles;
use crate::places::Places;

/// Letters that may wait; a reader that is ahead waits, too.
const QUEUE: usize = 256;
/// After a console failed to be read: it may come back, as a serial line to a USB adapter does.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Number of a console.
pub type Number = usize;

/// Every console, with what is typed there.
pub struct Terminals {
    consoles: Vec<File>,
    typed: Receiver<(Number, u8)>,
}

impl Terminals {
    /// Opens every console that can be read. No letter is shown by the kernel, and none is a signal.
    pub fn open(places: &Places) -> Self {
        let active = fs::read_to_string(places.at(consoles::ACTIVE)).unwrap_or_default();
        let names = consoles::names(&active);
        let consoles: Vec<File> =
            names.into_iter().filter_map(|name| raw(&places.at("dev").join(name)).ok()).collect();
        let (sender, typed) = sync_channel(QUEUE);
        for (number, console) in consoles.iter().enumerate() {
            if let Ok(console) = console.try_clone() {
                let sender = sender.clone();
                thread::spawn(move || read(number, console, &sender));
            }
        }
        Self { consoles, typed }
    }

    /// The next letter and where it was typed, if one comes in time.
    pub fn next(&self, patience: Duration) -> Option<(Number, u8)> {
        match self.typed.recv_timeout(patience) {
            Ok(typed) => Some(typed),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // No console can be read.
                thread::sleep(patience);
                None
            }
        }
    }

    /// Shows a text at one console, without what our lines begin with.
    pub fn show(&self, number: Number, text: &str) {
        if let Some(mut console) = self.consoles.get(number) {
            let _ = console.write_all(text.as_bytes());
        }
    }

    /// Shows a text at all of them.
    pub fn show_everywhere(&self, text: &str) {
        (0..self.consoles.len()).for_each(|number| self.show(number, text));
    }

    /// Takes nothing for a while.
    pub fn ignore_for(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let _ = self.next(left);
        }
        for console in &self.consoles {
            let _ = tcflush(console, QueueSelector::IFlush);
        }
        while self.typed.try_recv().is_ok() {}
    }
}

fn raw(path: &std::path::Path) -> Result<File> {
    // It must not become the controlling terminal, which could send signals.
    let console = open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    if isatty(&console) {
        let mut settings = tcgetattr(&console)?;
        settings.make_raw();
        tcsetattr(&console, OptionalActions::Flush, &settings)?;
    }
    Ok(File::from(console))
}

fn read(number: Number, mut console: File, sender: &SyncSender<(Number, u8)>) {
    let mut bytes = [0; 64];
    loop {
        match console.read(&mut bytes) {
            Ok(length) if length > 0 => {
                for byte in &bytes[..length] {
                    if sender.send((number, *byte)).is_err() {
                        return;
                    }
                }
            }
            _ => thread::sleep(AFTER_FAILURE),
        }
    }
}
