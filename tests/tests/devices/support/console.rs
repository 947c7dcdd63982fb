//! What a device says.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use holdfast_qemu::{Line, Running};

/// Longest time for a boot on an emulated processor that others use, too.
pub const BOOT: Duration = Duration::from_secs(300);

/// After one of these a boot leads nowhere.
const DEAD_ENDS: [&str; 8] = [
    "Access Denied",
    "Kernel panic",
    "holdfast-init: boot refused",
    "holdfast: var refused",
    "holdfast: site refused",
    "holdfast: closed",
    "holdfast: faulted",
    "You are in emergency mode",
];

/// The line of a device that has its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Id that the cloud gave it.
    pub device_id: String,
    /// Whether the cloud has not confirmed it in this boot.
    pub offline: bool,
}

/// The line of a device that the cloud refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What the device was told.
    pub code: String,
    /// Under which the cloud knows more.
    pub request_id: String,
}

/// Waits for a whole line with `pattern`; fails at once at a dead end.
pub fn wait_for(running: &Running, pattern: &str) -> Result<String> {
    wait_within(running, pattern, BOOT)
}

/// The same with another patience.
pub fn wait_within(running: &Running, pattern: &str, patience: Duration) -> Result<String> {
    let mut patterns = vec![pattern];
    patterns.extend(DEAD_ENDS.iter().filter(|end| !pattern.contains(**end)));
    let (which, line) = running.console().wait_for_any(&patterns, patience)?;
    let text = whole(running, &line)?;
    ensure!(which == 0, "waited for {pattern:?}, but the device said: {text}");
    Ok(text)
}

/// Waits for a line that may have come before what was last waited for.
pub fn wait_shown(running: &Running, pattern: &str) -> Result<()> {
    let begun = Instant::now();
    while running.console().find(pattern).is_none() {
        ensure!(!running.console().has_ended(), "the device ended before it showed {pattern:?}");
        ensure!(begun.elapsed() < BOOT, "waited {BOOT:?} for {pattern:?}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits for the first of several patterns; which one, and the whole line.
pub fn wait_for_any(running: &Running, patterns: &[&str]) -> Result<(usize, String)> {
    let (which, line) = running.console().wait_for_any(patterns, BOOT)?;
    Ok((which, whole(running, &line)?))
}

/// Waits until the device has its identity.
pub fn wait_active(running: &Running) -> Result<Active> {
    let line = wait_for(running, "holdfast: active ")?;
    Ok(Active {
        device_id: word(&line, "device_id")?,
        offline: word(&line, "offline")?
            .parse()
            .with_context(|| format!("neither true nor false: {line}"))?,
    })
}

/// Waits until a device says that it stays closed for this reason, and makes sure that it has used
/// nothing; the whole line. The state volume's own line may come later: it goes by the journal.
pub fn wait_closed(running: &Running, reason: &str) -> Result<String> {
    let (_, line) = wait_for_any(running, &["holdfast: closed reason=", "holdfast: active "])?;
    ensure!(line.contains(&format!("holdfast: closed reason={reason}: ")), "{line}");
    let never = ["var opened", "var created", "enroller started", "enrolled ", "active "];
    for event in never.map(|event| format!("holdfast: {event}")) {
        ensure_absent(&running.console().lines(), &event)?;
    }
    Ok(line)
}

/// Waits until the cloud refuses the device with this code.
pub fn wait_refused(running: &Running, code: &str) -> Result<Refused> {
    parse_refused(&wait_for(running, &format!("holdfast: refused code={code} "))?)
}

/// Reads the line of a refused device.
pub fn parse_refused(line: &str) -> Result<Refused> {
    Ok(Refused { code: word(line, "code")?, request_id: word(line, "request_id")? })
}

/// The value in `key=value` of a line.
pub fn word(line: &str, key: &str) -> Result<String> {
    let start = format!("{key}=");
    let found = line.split_whitespace().find_map(|word| word.strip_prefix(&start));
    found.map(str::to_owned).with_context(|| format!("no {key}= in: {line}"))
}

/// A line once it is complete: a wait may be over in the middle of it.
fn whole(running: &Running, line: &Line) -> Result<String> {
    let begun = Instant::now();
    loop {
        let lines = running.console().lines();
        let index = lines.iter().position(|l| l.at == line.at && l.text.starts_with(&line.text));
        match index {
            Some(index) if index + 1 < lines.len() => return Ok(lines[index].text.clone()),
            Some(index) if begun.elapsed() > Duration::from_secs(10) => {
                return Ok(lines[index].text.clone());
            }
            None if begun.elapsed() > Duration::from_secs(10) => {
                bail!("the line {:?} is gone from the console", line.text)
            }
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The first line with `pattern`.
pub fn find<'a>(lines: &'a [Line], pattern: &str) -> Option<&'a str> {
    lines.iter().map(|line| line.text.as_str()).find(|text| text.contains(pattern))
}

/// Fails if a line has `pattern`.
pub fn ensure_absent(lines: &[Line], pattern: &str) -> Result<()> {
    match find(lines, pattern) {
        Some(line) => bail!("the console must not show {pattern:?}, but has: {line}"),
        None => Ok(()),
    }
}

/// The first line with `pattern`, or an error.
pub fn ensure_shown<'a>(lines: &'a [Line], pattern: &str) -> Result<&'a str> {
    find(lines, pattern).with_context(|| format!("the console has no line with {pattern:?}"))
}

/// Reads a transcript that an earlier run has left.
pub fn read_transcript(path: &Path) -> Result<Vec<Line>> {
    let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let content = String::from_utf8_lossy(&content);
    Ok(content.lines().filter_map(parse).collect())
}

/// `[   12.345] text`
fn parse(line: &str) -> Option<Line> {
    let (at, text) = line.strip_prefix('[')?.split_once(']')?;
    let at = Duration::try_from_secs_f64(at.trim().parse().ok()?).ok()?;
    Some(Line { at, text: text.strip_prefix(' ').unwrap_or(text).to_owned() })
}

#[test]
fn a_transcript_is_read_back() {
    let line = parse("[   12.345] holdfast: active device_id=d offline=true").unwrap();
    assert_eq!(line.at, Duration::from_millis(12_345));
    assert_eq!(word(&line.text, "device_id").unwrap(), "d");
    assert!(word(&line.text, "device").is_err());
}
