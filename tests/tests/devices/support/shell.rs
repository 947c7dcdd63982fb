//! The root shell of test images, on their serial console.

use anyhow::{Result, ensure};
use holdfast_qemu::Running;

use super::console::wait_for;

/// Runs a command on the device's console and waits until it is over; the line with its exit code.
pub fn run(running: &Running, name: &str, command: &str) -> Result<String> {
    // In two parts, so that the line that is typed is not taken for the answer.
    running.console().send_line(&format!("{command}; echo \"step-\"\"{name}: $?\""))?;
    wait_for(running, &format!("step-{name}: "))
}

/// Runs a command that must succeed.
pub fn must(running: &Running, name: &str, command: &str) -> Result<()> {
    let done = run(running, name, command)?;
    ensure!(done.ends_with(": 0"), "{command}: {done}");
    Ok(())
}

/// What a command prints, in one line.
pub fn ask(running: &Running, name: &str, command: &str) -> Result<String> {
    let shown = format!("echo \"step-\"\"{name}: $({command} 2>&1 | tr '\\n' ' ')\"");
    running.console().send_line(&shown)?;
    let line = wait_for(running, &format!("step-{name}: "))?;
    let (_, answer) = line.split_once(&format!("step-{name}: ")).unwrap_or_default();
    Ok(answer.trim().to_owned())
}

/// Waits until a command succeeds; at most half a minute of the device's time.
pub fn until(running: &Running, name: &str, command: &str) -> Result<()> {
    let wait =
        format!("i=0; until {command}; do i=$((i+1)); [ $i -gt 60 ] && break; sleep 0.5; done");
    let done = run(running, name, &format!("{wait}; [ $i -le 60 ]"))?;
    ensure!(done.ends_with(": 0"), "it never came to that: {command}");
    Ok(())
}
