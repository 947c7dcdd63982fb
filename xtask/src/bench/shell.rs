//! The root shell on the console of a device that is measured.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_qemu::Running;
use serde::de::DeserializeOwned;

/// Longest wait for a command.
const PATIENCE: Duration = Duration::from_secs(300);

/// One of the profiles that have a shell.
pub struct Shell<'a> {
    running: &'a Running,
    number: u32,
}

impl<'a> Shell<'a> {
    /// Of a device that is on.
    pub fn new(running: &'a Running) -> Self {
        Self { running, number: 0 }
    }

    /// What a command printed, whatever it ended with.
    pub fn run(&mut self, command: &str) -> Result<String> {
        Ok(self.ask(command)?.0)
    }

    /// What a command printed that is to succeed.
    pub fn check(&mut self, command: &str) -> Result<String> {
        let (text, code) = self.ask(command)?;
        if code != "0" {
            bail!("`{command}` on the device ended with {code}: {text}");
        }
        Ok(text)
    }

    /// The JSON that a command printed as its last line.
    pub fn json<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        let text = self.check(command)?;
        let last = text.lines().rfind(|line| line.trim_start().starts_with(['{', '[']));
        let last = last.with_context(|| format!("`{command}` printed no JSON: {text}"))?;
        serde_json::from_str(last).with_context(|| format!("`{command}` printed {last}"))
    }

    /// The number that a command printed.
    pub fn number(&mut self, command: &str) -> Result<u64> {
        let text = self.check(command)?;
        let last = text.lines().last().unwrap_or_default().trim();
        last.parse().with_context(|| format!("`{command}` printed no number: {text}"))
    }

    fn ask(&mut self, command: &str) -> Result<(String, String)> {
        self.number += 1;
        let (begin, end) = (format!("begin-{}", self.number), format!(" end-{}.", self.number));
        let console = self.running.console();
        // The quotes keep the echoed command line from looking like its output. What a command
        // printed last may have no end of line.
        console.send_line(&format!(
            "echo be''gin-{0}; {command}; echo \"|$? en\"d-{0}.",
            self.number
        ))?;
        console
            .wait_for(&end, PATIENCE)
            .with_context(|| format!("run `{command}` on the device"))?;
        let lines = console.lines();
        let said = lines.iter().map(|line| line.text.trim_end());
        let mut text = Vec::new();
        for line in said.skip_while(|line| !line.ends_with(&begin)).skip(1) {
            let Some((before, code)) = line.strip_suffix(&end).and_then(|l| l.rsplit_once('|'))
            else {
                text.push(line);
                continue;
            };
            if !before.is_empty() {
                text.push(before);
            }
            return Ok((text.join("\n"), code.to_owned()));
        }
        bail!("what `{command}` printed on the device cannot be told from the rest")
    }
}
