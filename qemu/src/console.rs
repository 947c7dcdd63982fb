use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Error, Result};

mod plain_text;

use plain_text::PlainText;

/// A line of a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its first character came, since power-on.
    pub at: Duration,
    /// Its text without escape sequences; of the last line, what has come so far.
    pub text: String,
}

/// A serial console: everything it has shown, with times, and a way to type.
///
/// The transcript also goes to a file, line by line.
#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
    transcript: PathBuf,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: PlainText,
    /// Times of the lines in `text`.
    times: Vec<Duration>,
    /// Where the next wait begins to look.
    seen: Position,
    ended: bool,
    listeners: Vec<mpsc::Sender<Vec<u8>>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
}

impl Console {
    /// Reads from `stream` until it ends. Times count from `begun`.
    pub fn open(stream: UnixStream, begun: Instant, transcript: &Path) -> Result<Self> {
        let file = File::create(transcript).map_err(Error::file("create", transcript))?;
        let reading = stream.try_clone();
        let reading = reading.map_err(|error| broken(&error))?;
        let shared = Arc::new(Shared::default());
        let for_reader = Arc::clone(&shared);
        let reader = thread::Builder::new()
            .name("console".into())
            .spawn(move || read_console(reading, file, begun, &for_reader))
            .map_err(|error| broken(&error))?;
        Ok(Self { stream, transcript: transcript.to_owned(), shared, reader: Some(reader) })
    }

    /// Waits until `pattern` appears after what earlier waits have found.
    pub fn wait_for(&self, pattern: &str, timeout: Duration) -> Result<Line> {
        self.wait_for_any(&[pattern], timeout).map(|(_, line)| line)
    }

    /// Waits until one of `patterns` appears; tells which one came first.
    pub fn wait_for_any(&self, patterns: &[&str], timeout: Duration) -> Result<(usize, Line)> {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        let mut from = state.seen;
        loop {
            if let Some((which, found, end)) = state.search(patterns, from) {
                state.seen = end;
                return Ok((which, state.line(found)));
            }
            from = from.max_line(state.text.lines().len().saturating_sub(1));
            let what =
                || patterns.iter().map(|p| format!("{p:?}")).collect::<Vec<_>>().join(" or ");
            let context = |state: &State| {
                format!("{}\n(whole transcript: {})", state.tail(), self.transcript.display())
            };
            if state.ended {
                let what = format!("the console showed {}", what());
                return Err(Error::Ended { what, context: context(&state) });
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let what = format!("{} on the console", what());
                return Err(Error::Timeout { what, after: timeout, context: context(&state) });
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The first line of all that holds `pattern`.
    pub fn find(&self, pattern: &str) -> Option<Line> {
        let state = self.shared.lock();
        let index = state.text.lines().iter().position(|line| line.contains(pattern))?;
        Some(state.line(index))
    }

    /// Everything shown so far.
    pub fn lines(&self) -> Vec<Line> {
        let state = self.shared.lock();
        (0..state.times.len()).map(|index| state.line(index)).collect()
    }

    /// Types `bytes`.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        (&self.stream).write_all(bytes).map_err(|error| broken(&error))
    }

    /// Types `text` and presses Return.
    pub fn send_line(&self, text: &str) -> Result<()> {
        self.send(format!("{text}\r").as_bytes())
    }

    /// True once the device has closed its end.
    pub fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }

    /// The transcript file.
    pub fn transcript(&self) -> &Path {
        &self.transcript
    }

    /// Every byte from now on, escape sequences too.
    pub fn listen(&self) -> mpsc::Receiver<Vec<u8>> {
        let (sender, receiver) = mpsc::channel();
        let mut state = self.shared.lock();
        if !state.ended {
            state.listeners.push(sender);
        }
        receiver
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Position {
    /// This position, or the start of `line` if that is later.
    fn max_line(self, line: usize) -> Self {
        if line > self.line { Self { line, column: 0 } } else { self }
    }
}

impl State {
    /// The earliest match: which pattern, in which line, and where it ends.
    fn search(&self, patterns: &[&str], from: Position) -> Option<(usize, usize, Position)> {
        for (line, text) in self.text.lines().iter().enumerate().skip(from.line) {
            let start = if line == from.line { from.column } else { 0 };
            let rest = text.get(start..).unwrap_or_default();
            let matches = patterns.iter().enumerate();
            let matches = matches.filter_map(|(which, p)| Some((rest.find(p)?, which, p.len())));
            if let Some((at, which, length)) = matches.min() {
                return Some((which, line, Position { line, column: start + at + length }));
            }
        }
        None
    }

    fn line(&self, index: usize) -> Line {
        let text = self.text.lines().get(index).cloned().unwrap_or_default();
        Line { at: self.times.get(index).copied().unwrap_or_default(), text }
    }

    fn tail(&self) -> String {
        const LINES: usize = 15;
        let first = self.times.len().saturating_sub(LINES);
        let lines: Vec<String> =
            (first..self.times.len()).map(|index| stamped(&self.line(index))).collect();
        lines.join("\n")
    }
}

fn stamped(line: &Line) -> String {
    format!("[{:9.3}] {}", line.at.as_secs_f64(), line.text)
}

fn read_console(mut stream: UnixStream, mut transcript: File, begun: Instant, shared: &Shared) {
    let mut buffer = [0; 4096];
    let mut written = 0;
    loop {
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let now = begun.elapsed();
        let mut state = shared.lock();
        if state.text.lines().last().is_some_and(String::is_empty) {
            // The last line begins now, not when the one before it ended.
            state.times.pop();
        }
        state.text.push(&buffer[..length]);
        let lines = state.text.lines().len();
        state.times.resize(lines, now);
        state.listeners.retain(|listener| listener.send(buffer[..length].to_vec()).is_ok());
        let complete = lines.saturating_sub(1);
        written = write_lines(&mut transcript, &state, written..complete);
        drop(state);
        shared.changed.notify_all();
    }
    let mut state = shared.lock();
    write_lines(&mut transcript, &state, written..state.times.len());
    state.ended = true;
    state.listeners.clear();
    drop(state);
    shared.changed.notify_all();
}

/// A transcript that cannot be written must not stop the device: waits work from memory.
fn write_lines(file: &mut File, state: &State, range: std::ops::Range<usize>) -> usize {
    for index in range.clone() {
        let _ = writeln!(file, "{}", stamped(&state.line(index)));
    }
    range.end.max(range.start)
}

fn broken(error: &io::Error) -> Error {
    Error::Protocol { peer: "console", reason: error.to_string() }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
