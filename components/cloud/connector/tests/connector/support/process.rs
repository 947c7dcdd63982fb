//! The server as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process; killed if a test fails.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-cloud"));
    command.env("HOLDFAST_CLOUD_DATA", data);
    command
}

/// Arguments that serve on any port.
pub fn serve_arguments() -> [&'static str; 7] {
    let any = "127.0.0.1:0";
    ["serve", "--est-listen", any, "--device-listen", any, "--management-listen", any]
}

pub fn serve(data: &Path) -> Process {
    serve_with(data, &[])
}

pub fn serve_with(data: &Path, more: &[&str]) -> Process {
    let mut command = program(data);
    command.args(serve_arguments()).args(more);
    until_it_serves(&mut command).unwrap()
}

/// Starts a server; none if it ended before it served.
pub fn until_it_serves(command: &mut Command) -> Option<Process> {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let process = Process(child);
    let ready = lines.by_ref().map(Result::unwrap).any(|line| line.contains(" serving "));
    // The rest of the log must be read, or the server would block on a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    ready.then_some(process)
}
