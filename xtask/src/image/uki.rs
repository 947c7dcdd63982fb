//! The unified kernel image and what the TPM will have measured of it.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::{keys::ProfileKeys, process, tools::Tools};

const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// What a UKI is made from.
pub struct Uki<'a> {
    /// Kernel file.
    pub kernel: &'a Path,
    /// Initrd file.
    pub initrd: &'a Path,
    /// Command line.
    pub command_line: &'a str,
    /// `os-release` of the image.
    pub os_release: &'a Path,
    /// Kernel version.
    pub uname: &'a str,
    /// Boot phases whose PCR 11 values are signed.
    pub phases: &'a [String],
}

/// PCR 11 as it is after a boot phase.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct PhaseValue {
    /// Phase path.
    pub phase: String,
    /// Value of the SHA-256 bank in hexadecimal digits.
    pub sha256: String,
}

/// Builds and signs the image at `output`; returns the PCR 11 value of each phase.
pub fn build(
    tools: &Tools,
    uki: &Uki,
    keys: &ProfileKeys,
    output: &Path,
) -> Result<Vec<PhaseValue>> {
    tools.file(STUB)?;
    let work = output.parent().context("output has no folder")?;
    let command_line = work.join("cmdline");
    fs::write(&command_line, uki.command_line)?;
    // ukify prints the measurements on standard error.
    let log = work.join("ukify.log");
    let _ = fs::remove_file(&log);
    process::run(
        tools
            .command("ukify")
            .args(["build", "--measure", "--pcr-banks=sha256"])
            .arg(format!("--linux={}", uki.kernel.display()))
            .arg(format!("--initrd={}", uki.initrd.display()))
            .arg(format!("--cmdline=@{}", command_line.display()))
            .arg(format!("--os-release=@{}", uki.os_release.display()))
            .arg(format!("--uname={}", uki.uname))
            .arg(format!("--stub={STUB}"))
            .arg(format!("--secureboot-private-key={}", keys.db.private.display()))
            .arg(format!("--secureboot-certificate={}", keys.db.public.display()))
            .arg(format!("--pcr-private-key={}", keys.pcr.private.display()))
            .arg(format!("--pcr-public-key={}", keys.pcr.public.display()))
            .arg(format!("--phases={}", uki.phases.join(" ")))
            .arg(format!("--output={}", output.display())),
        &log,
    )?;
    let values = parse_measurements(&fs::read_to_string(&log)?);
    if values.iter().map(|v| &v.phase).ne(uki.phases) {
        bail!("ukify measured other phases than asked for: {values:?}");
    }
    Ok(values)
}

/// Signs an EFI program.
pub fn sign(
    tools: &Tools,
    program: &Path,
    keys: &ProfileKeys,
    output: &Path,
    log: &Path,
) -> Result<()> {
    process::run(
        tools
            .command("sbsign")
            .arg("--key")
            .arg(&keys.db.private)
            .arg("--cert")
            .arg(&keys.db.public)
            .arg("--output")
            .args([output, program]),
        log,
    )
}

/// systemd-measure(1) prints `# PCR[11] Phase <path>` before each `11:sha256=<value>`.
fn parse_measurements(text: &str) -> Vec<PhaseValue> {
    let mut values = Vec::new();
    let mut phase = None;
    for line in text.lines() {
        if let Some((_, words)) = line.split_once("Phase ") {
            phase = Some(
                words.trim_matches(|c: char| "<>".contains(c) || c.is_whitespace()).to_owned(),
            );
        } else if let (Some(value), Some(path)) = (line.strip_prefix("11:sha256="), phase.take()) {
            values.push(PhaseValue { phase: path, sha256: value.trim().to_owned() });
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_read_by_phase() {
        let text = "# PCR[11] Phase <enter-initrd>\n11:sha256=aa\n# PCR[11] Phase <enter-initrd:leave-initrd>\n11:sha256=bb\n";
        let values = parse_measurements(text);
        assert_eq!(values.len(), 2);
        assert_eq!(
            values[1],
            PhaseValue { phase: "enter-initrd:leave-initrd".into(), sha256: "bb".into() }
        );
    }
}
