//! Reports of `holdfast check` on a console.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{Line, Running};

use super::console::BOOT;

/// What the checks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Outcome and id of each check.
    pub checks: Vec<(String, String)>,
    /// All lines.
    pub text: String,
}

const CLOSED: &str = "holdfast: closed reason=";
const OUTCOMES: [&str; 3] = ["ok", "warning", "FAILED"];

impl Report {
    /// The report after the last block that tells of this state, if it is complete.
    pub fn after(lines: &[Line], state: &str) -> Option<Self> {
        Self::after_line(lines, &block(state))
    }

    /// The report that a closed device shows with its reason.
    pub fn wait_closed(running: &Running) -> Result<Self> {
        Self::wait_after(running, CLOSED)
    }

    /// The report after the last line with this text, if it is complete.
    fn after_line(lines: &[Line], text: &str) -> Option<Self> {
        let begin = lines.iter().rposition(|line| line.text.contains(text))?;
        let lines = &lines[begin..];
        let end = lines.iter().position(|line| is_last(&line.text))?;
        let checks = lines[..end].iter().filter_map(|line| {
            let mut words = line.text.split_whitespace();
            let outcome = words.next().filter(|word| OUTCOMES.contains(word))?;
            Some((outcome.to_owned(), words.next()?.to_owned()))
        });
        let text = lines[..=end].iter().map(|line| line.text.as_str()).collect::<Vec<_>>();
        Some(Self { checks: checks.collect(), text: text.join("\n") })
    }

    /// The same once it is there.
    pub fn wait(running: &Running, state: &str) -> Result<Self> {
        Self::wait_after(running, &block(state))
    }

    fn wait_after(running: &Running, text: &str) -> Result<Self> {
        let begun = Instant::now();
        loop {
            if let Some(report) = Self::after_line(&running.console().lines(), text) {
                return Ok(report);
            }
            ensure!(
                begun.elapsed() < BOOT && !running.console().has_ended(),
                "the console shows no report of the checks after {text:?}"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Outcome of a check.
    pub fn outcome(&self, id: &str) -> Result<&str> {
        let found = self.checks.iter().find(|(_, check)| check == id);
        let (outcome, _) = found.with_context(|| format!("no check {id} in\n{}", self.text))?;
        Ok(outcome)
    }

    /// Fails unless this check failed and the report names the fault.
    pub fn ensure_names(&self, id: &str, fault: &str) -> Result<()> {
        ensure!(self.outcome(id)? == "FAILED", "{id} did not fail in\n{}", self.text);
        ensure!(self.text.contains(fault), "{fault:?} is not named in\n{}", self.text);
        Ok(())
    }

    /// Fails unless nothing is wrong. That the system is still starting is not.
    pub fn ensure_green(&self) -> Result<()> {
        let wrong = |(outcome, id): &&(String, String)| {
            let starting = id == "units" && self.text.contains("the system is still starting");
            outcome != "ok" && !(outcome == "warning" && starting)
        };
        let wrong: Vec<_> = self.checks.iter().filter(wrong).collect();
        ensure!(wrong.is_empty(), "not green: {wrong:?} in\n{}", self.text);
        ensure!(
            self.checks.len() >= 12,
            "a report of {} checks:\n{}",
            self.checks.len(),
            self.text
        );
        Ok(())
    }
}

fn block(state: &str) -> String {
    format!("State        {state}:")
}

fn is_last(line: &str) -> bool {
    line.contains(" checks: ") && line.ends_with(" failed")
}

#[test]
fn a_report_is_read() {
    let lines: Vec<Line> = [
        "State        refused: no",
        "ok       tpm          old",
        "1 checks: 1 ok, 0 warning, 0 failed",
        "State        active: yes",
        "ok       secure-boot  Secure Boot is on.",
        "FAILED   clock        It is",
        "                      1970.",
        "                      -> ok then",
        "2 checks: 1 ok, 0 warning, 1 failed",
    ]
    .map(|text| Line { at: Duration::ZERO, text: text.to_owned() })
    .into();
    let report = Report::after(&lines, "active").unwrap();
    assert_eq!(report.checks.len(), 2);
    assert_eq!(report.outcome("clock").unwrap(), "FAILED");
    assert!(report.outcome("tpm").is_err());
    report.ensure_names("clock", "1970").unwrap();
    assert!(report.ensure_names("clock", "1980").is_err());
    assert!(report.ensure_names("secure-boot", "1970").is_err());
    assert!(report.ensure_green().unwrap_err().to_string().contains("clock"));
    assert!(Report::after(&lines[..8], "active").is_none());
    assert_eq!(Report::after(&lines, "refused").unwrap().outcome("tpm").unwrap(), "ok");
}
