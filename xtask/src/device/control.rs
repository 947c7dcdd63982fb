//! The socket over which other commands reach a device that a command of this program runs.
//!
//! One JSON line asks, one JSON line answers: `{"ok": ...}` or `{"error": "..."}`. After `attach`
//! the connection is the device's console in both directions.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use holdfast_qemu::{Terminal, Typed};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What can be asked of a running device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Connects to the console.
    Attach,
    /// How it is.
    Status,
    /// Plugs a USB device in.
    Plug {
        /// What it is.
        kind: UsbKind,
        /// Under which name it is unplugged.
        id: String,
        /// Content of a memory stick.
        image: Option<PathBuf>,
    },
    /// Pulls a USB device out.
    Unplug {
        /// Its name.
        id: String,
    },
    /// Cuts the power.
    Cut {
        /// Decides which unflushed writes are lost.
        seed: Option<u64>,
    },
    /// Presses the reset button.
    Reset,
    /// Presses the power button.
    PowerButton,
    /// Plugs the network cable in or out.
    Cable {
        /// In.
        up: bool,
    },
    /// Runs a command of QEMU's monitor.
    Qmp {
        /// Its name.
        command: String,
        /// Its arguments: an object, or null.
        arguments: Value,
    },
}

/// Kinds of USB devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum UsbKind {
    /// A memory stick.
    Storage,
    /// A keyboard.
    Keyboard,
    /// A mouse.
    Mouse,
    /// A network card.
    Network,
    /// A serial adapter.
    Serial,
}

/// A request and the way to answer it.
pub struct Call {
    /// What is asked.
    pub request: Request,
    answer: mpsc::Sender<Answer>,
}

enum Answer {
    Done(Result<Value, String>),
    Attached(mpsc::Receiver<Vec<u8>>),
}

impl Call {
    /// Answers.
    pub fn answer(self, result: Result<Value>) {
        // Nobody listens any more: then nobody misses the answer.
        let _ = self.answer.send(Answer::Done(result.map_err(|error| format!("{error:#}"))));
    }

    /// Answers an [`Request::Attach`] with what the console shows from now on.
    pub fn attach(self, output: mpsc::Receiver<Vec<u8>>) {
        let _ = self.answer.send(Answer::Attached(output));
    }
}

/// The server's end.
pub struct Control {
    /// Requests to be answered.
    pub calls: mpsc::Receiver<Call>,
    /// What is typed at attached consoles.
    pub typed: mpsc::Receiver<Vec<u8>>,
    connections: Arc<()>,
    pointer: PathBuf,
    _sockets: tempfile::TempDir,
}

/// Tells where the socket is. Unix socket addresses are at most 107 bytes long, so that it cannot
/// lie in the folder itself.
#[derive(Serialize, Deserialize)]
struct Pointer {
    pid: u32,
    socket: PathBuf,
}

impl Control {
    /// Serves the device of the bench in `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        let sockets = tempfile::Builder::new()
            .prefix("holdfast-control-")
            .tempdir()
            .context("create a folder for the control socket")?;
        let socket = sockets.path().join("control");
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("listen at {}", socket.display()))?;
        let pointer = pointer_of(folder);
        let text = serde_json::to_vec(&Pointer { pid: std::process::id(), socket })?;
        fs::write(&pointer, text).with_context(|| format!("write {}", pointer.display()))?;
        let (call_sender, calls) = mpsc::channel();
        let (typed_sender, typed) = mpsc::channel();
        let connections = Arc::new(());
        let counter = Arc::clone(&connections);
        thread::Builder::new().name("control".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let (calls, typed) = (call_sender.clone(), typed_sender.clone());
                let connection = Arc::clone(&counter);
                thread::spawn(move || {
                    // A peer that goes away is no fault of the device's.
                    let _ = serve(stream, &calls, typed);
                    drop(connection);
                });
            }
        })?;
        Ok(Self { calls, typed, connections, pointer, _sockets: sockets })
    }

    /// Lets the last answers reach their peers.
    pub fn finish(&self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let begun = Instant::now();
        // This value and the listening thread hold one each.
        while Arc::strong_count(&self.connections) > 2 && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.pointer);
    }
}

fn serve(
    stream: UnixStream,
    calls: &mpsc::Sender<Call>,
    typed: mpsc::Sender<Vec<u8>>,
) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, answered) = mpsc::channel();
            calls.send(Call { request, answer })?;
            answered.recv().context("the device has ended")?
        }
        Err(error) => Answer::Done(Err(format!("not a request: {error}"))),
    };
    match answer {
        Answer::Done(result) => {
            let reply = result.map_or_else(|e| json!({ "error": e }), |v| json!({ "ok": v }));
            writeln!(writer, "{reply}")?;
        }
        Answer::Attached(output) => {
            writeln!(writer, "{}", json!({ "ok": null }))?;
            thread::spawn(move || forward(reader, &typed));
            for bytes in output {
                writer.write_all(&bytes)?;
            }
            writer.shutdown(std::net::Shutdown::Both)?;
        }
    }
    Ok(())
}

fn forward(mut from: impl Read, to: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.send(buffer[..length].to_vec()).is_err() {
            return;
        }
    }
}

/// The number of the process that runs the device of the bench in `folder`, if one does.
pub fn running(folder: &Path) -> Option<u32> {
    connect(folder).ok().map(|(_, pid)| pid)
}

/// Asks the device of the bench in `folder`.
pub fn ask(folder: &Path, request: &Request) -> Result<Value> {
    let (mut stream, _) = connect(folder)?;
    request_on(&mut stream, request)
}

/// How often output is shown while no key is pressed.
pub const ROUND: Duration = Duration::from_millis(20);

/// Connects this terminal to the console until the person presses Ctrl-] and q, or the device ends.
pub fn attach(folder: &Path) -> Result<()> {
    let (mut stream, _) = connect(folder)?;
    request_on(&mut stream, &Request::Attach)?;
    eprintln!("The device's console; Ctrl-] q leaves it.");
    let (sender, output) = mpsc::channel();
    let reader = stream.try_clone()?;
    thread::spawn(move || forward(reader, &sender));
    let mut terminal = Terminal::enter()?;
    let mut has_input = true;
    loop {
        loop {
            match output.try_recv() {
                Ok(bytes) => terminal.show(&bytes)?,
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            }
        }
        if !has_input {
            thread::sleep(ROUND);
            continue;
        }
        match terminal.typed(ROUND)? {
            Typed::Nothing => {}
            Typed::Bytes(bytes) => stream.write_all(&bytes)?,
            Typed::Key { before, key } => {
                stream.write_all(&before)?;
                if key == b'q' {
                    return Ok(());
                }
            }
            Typed::Closed => has_input = false,
        }
    }
}

fn connect(folder: &Path) -> Result<(UnixStream, u32)> {
    let not_running = || anyhow!("no device runs in {}", folder.display());
    let text = fs::read(pointer_of(folder)).map_err(|_| not_running())?;
    let pointer: Pointer = serde_json::from_slice(&text)
        .with_context(|| format!("read {}", pointer_of(folder).display()))?;
    let stream = UnixStream::connect(&pointer.socket).map_err(|_| not_running())?;
    Ok((stream, pointer.pid))
}

/// Reads byte by byte: what follows the answer is the console.
fn request_on(stream: &mut UnixStream, request: &Request) -> Result<Value> {
    writeln!(stream, "{}", serde_json::to_string(request)?)?;
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let mut reply: Value = serde_json::from_slice(&line).context("the device has ended")?;
    match reply.get("error") {
        Some(error) => bail!("{}", error.as_str().unwrap_or_default()),
        None => Ok(reply["ok"].take()),
    }
}

fn pointer_of(folder: &Path) -> PathBuf {
    folder.join("running.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_and_errors_arrive() {
        let folder = tempfile::tempdir().unwrap();
        assert!(running(folder.path()).is_none());
        let control = Control::open(folder.path()).unwrap();
        assert_eq!(running(folder.path()), Some(std::process::id()));
        let path = folder.path().to_owned();
        let asking = thread::spawn(move || {
            let plug = Request::Plug { kind: UsbKind::Keyboard, id: "usb0".into(), image: None };
            (ask(&path, &Request::Status).unwrap(), ask(&path, &plug).unwrap_err().to_string())
        });
        // The look whether it runs has left no request behind.
        let patience = Duration::from_secs(20);
        let call = control.calls.recv_timeout(patience).unwrap();
        assert_eq!(call.request, Request::Status);
        call.answer(Ok(json!({ "seconds": 1 })));
        let call = control.calls.recv_timeout(patience).unwrap();
        assert!(matches!(call.request, Request::Plug { .. }));
        call.answer(Err(anyhow!("no port left")));
        let (status, error) = asking.join().unwrap();
        assert_eq!(status, json!({ "seconds": 1 }));
        assert_eq!(error, "no port left");
        control.finish();
        drop(control);
        assert!(running(folder.path()).is_none());
    }

    #[test]
    fn a_console_goes_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let control = Control::open(folder.path()).unwrap();
        let path = folder.path().to_owned();
        let asking = thread::spawn(move || {
            let (mut stream, _) = connect(&path).unwrap();
            request_on(&mut stream, &Request::Attach).unwrap();
            stream.write_all(b"ls\r").unwrap();
            let mut shown = [0; 5];
            stream.read_exact(&mut shown).unwrap();
            shown
        });
        let call = control.calls.recv_timeout(Duration::from_secs(20)).unwrap();
        let (sender, output) = mpsc::channel();
        call.attach(output);
        sender.send(b"hello".to_vec()).unwrap();
        let mut typed = Vec::new();
        while typed != b"ls\r" {
            typed.extend(control.typed.recv_timeout(Duration::from_secs(20)).unwrap());
        }
        assert_eq!(&asking.join().unwrap(), b"hello");
    }
}
