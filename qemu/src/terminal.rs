use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::TryRecvError;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::{Console, Error, Result};

/// Why [`Console::attach`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detached {
    /// The person pressed Ctrl-] and then this key.
    Key(u8),
    /// The device ended.
    Ended,
    /// This program's standard input ended.
    InputClosed,
}

/// Ctrl-], the escape key of telnet and of `virsh console`.
const ESCAPE_KEY: u8 = 0x1d;

impl Console {
    /// Connects this program's terminal to the console until the person presses Ctrl-] and another
    /// key (Ctrl-] twice sends one to the device), or the device ends.
    pub fn attach(&self) -> Result<Detached> {
        let mut terminal = Terminal::enter()?;
        let output = self.listen();
        loop {
            loop {
                match output.try_recv() {
                    Ok(bytes) => terminal.show(&bytes)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(Detached::Ended),
                }
            }
            match terminal.typed(Duration::from_millis(20))? {
                Typed::Nothing => {}
                Typed::Bytes(bytes) => self.send(&bytes)?,
                Typed::Key { before, key } => {
                    self.send(&before)?;
                    return Ok(Detached::Key(key));
                }
                Typed::Closed => {
                    // Whatever the device still says to the last input is worth showing.
                    thread::sleep(Duration::from_millis(200));
                    return Ok(Detached::InputClosed);
                }
            }
        }
    }
}

/// This program's terminal while its keys belong to a device: every key arrives as it is typed,
/// and only Ctrl-] is this program's own.
pub struct Terminal {
    keys: Keys,
    _raw: RawMode,
}

/// What came from the keyboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// No key in time.
    Nothing,
    /// Keys for the device.
    Bytes(Vec<u8>),
    /// The escape key and then `key`.
    Key {
        /// Keys for the device that were typed before.
        before: Vec<u8>,
        /// The key after the escape key.
        key: u8,
    },
    /// Standard input has ended.
    Closed,
}

impl Terminal {
    /// Takes the terminal until the value is dropped. Without a terminal on standard input its
    /// bytes are still read.
    pub fn enter() -> Result<Self> {
        Ok(Self { keys: Keys::default(), _raw: RawMode::enter()? })
    }

    /// Shows bytes as they are.
    pub fn show(&mut self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(terminal)
    }

    /// Waits for keys.
    pub fn typed(&mut self, timeout: Duration) -> Result<Typed> {
        if !input_ready(timeout)? {
            return Ok(Typed::Nothing);
        }
        let mut buffer = [0; 256];
        let length = rustix::io::read(stdin(), &mut buffer).map_err(terminal)?;
        if length == 0 {
            return Ok(Typed::Closed);
        }
        let (before, key) = self.keys.take(&buffer[..length]);
        Ok(match key {
            Some(key) => Typed::Key { before, key },
            None if before.is_empty() => Typed::Nothing,
            None => Typed::Bytes(before),
        })
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

/// Finds the escape key among typed bytes.
#[derive(Debug, Default)]
struct Keys {
    escaped: bool,
}

impl Keys {
    /// What goes to the device, and the key after the escape key.
    fn take(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<u8>) {
        let mut typed = Vec::new();
        for &byte in bytes {
            match (std::mem::take(&mut self.escaped), byte) {
                (false, ESCAPE_KEY) => self.escaped = true,
                (true, ESCAPE_KEY) | (false, _) => typed.push(byte),
                (true, key) => return (typed, Some(key)),
            }
        }
        (typed, None)
    }
}

fn input_ready(timeout: Duration) -> Result<bool> {
    let input = stdin();
    let mut wanted = [PollFd::new(&input, PollFlags::IN)];
    let timeout = Timespec::try_from(timeout).map_err(|_| terminal(io::ErrorKind::Other))?;
    match poll(&mut wanted, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(terminal(error)),
    }
}

/// Puts the terminal back when dropped.
struct RawMode(Option<Termios>);

impl RawMode {
    fn enter() -> Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self(None));
        }
        let before = tcgetattr(stdin()).map_err(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(terminal)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

fn terminal(error: impl Into<io::Error>) -> Error {
    let error = error.into();
    Error::Protocol { peer: "terminal", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{ESCAPE_KEY, Keys};

    #[test]
    fn the_escape_key_works_across_reads_and_can_be_typed() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"ls\r"), (b"ls\r".to_vec(), None));
        assert_eq!(keys.take(&[b'a', ESCAPE_KEY]), (b"a".to_vec(), None));
        assert_eq!(keys.take(&[ESCAPE_KEY, b'b']), (vec![ESCAPE_KEY, b'b'], None));
        assert_eq!(keys.take(&[ESCAPE_KEY]), (Vec::new(), None));
        assert_eq!(keys.take(b"qx"), (Vec::new(), Some(b'q')));
    }
}
