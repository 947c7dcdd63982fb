//! `cargo xtask doctor`: what the host lacks, and how to get it.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Result, bail};
use holdfast_qemu::Accelerator;
use serde::Serialize;

use crate::{host, paths::Paths, process};

/// Image, tools, target folder and a few devices.
const DISK_NEEDED: u64 = 20 << 30;

#[derive(Serialize)]
struct Finding {
    name: &'static str,
    purpose: &'static str,
    ok: bool,
    /// How to get it, where it is missing; more about it, where it is not.
    detail: String,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    packages: Vec<Finding>,
    host: Vec<Finding>,
    /// The one command that installs the missing packages.
    install: Option<String>,
}

/// Prints the report; it is an error if something is missing.
pub fn run(paths: &Paths, json: bool) -> Result<()> {
    let report = examine(paths);
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report));
    }
    if !report.ok {
        bail!("the host is not ready");
    }
    Ok(())
}

fn examine(paths: &Paths) -> Report {
    let packages: Vec<Finding> = host::NEEDS
        .iter()
        .map(|need| Finding {
            name: need.package,
            purpose: need.purpose,
            ok: need.is_met(),
            detail: need.file.to_owned(),
        })
        .collect();
    let missing = host::missing();
    let install = (!missing.is_empty()).then(|| host::install_command(&missing));
    let host = vec![
        component("fmt", "rustfmt"),
        component("clippy", "clippy"),
        disk(paths),
        mirror(),
        accelerator(),
    ];
    Report { ok: install.is_none() && host.iter().all(|f| f.ok), packages, host, install }
}

fn component(verb: &str, name: &'static str) -> Finding {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let version = process::output(Command::new(cargo).args([verb, "--version"]));
    let (ok, detail) = match version {
        Ok(text) => (true, String::from_utf8_lossy(&text).trim().to_owned()),
        Err(_) => (false, format!("rustup component add {name}")),
    };
    Finding { name, purpose: "checks the source code", ok, detail }
}

fn disk(paths: &Paths) -> Finding {
    let free =
        process::output(Command::new("df").args(["--output=avail", "-B1"]).arg(&paths.repository))
            .ok()
            .and_then(|text| {
                String::from_utf8_lossy(&text).lines().nth(1)?.trim().parse::<u64>().ok()
            });
    let gib = |bytes: u64| bytes >> 30;
    let (ok, detail) = match free {
        Some(free) if free >= DISK_NEEDED || paths.build.join("tools/tree").exists() => {
            (true, format!("{} GiB free", gib(free)))
        }
        Some(free) => (
            false,
            format!(
                "{} GiB free of {} GiB; HOLDFAST_BUILD moves the build elsewhere",
                gib(free),
                gib(DISK_NEEDED)
            ),
        ),
        None => (true, "not known".to_owned()),
    };
    Finding { name: "disk space", purpose: "images, tools and devices", ok, detail }
}

fn mirror() -> Finding {
    let (ok, detail) = match host::debian_mirrors() {
        Ok(mirrors) => (true, mirrors.archive),
        Err(error) => (false, format!("{error:#}")),
    };
    Finding { name: "Debian mirror", purpose: "packages of the image and its tools", ok, detail }
}

fn accelerator() -> Finding {
    let detail = match Accelerator::detect() {
        Accelerator::Kvm => "KVM",
        Accelerator::Software => "emulated, slower; no usable /dev/kvm",
    };
    Finding { name: "processor", purpose: "runs the devices", ok: true, detail: detail.to_owned() }
}

fn text(report: &Report) -> String {
    let mut rows = Vec::new();
    for (findings, absent) in [(&report.packages, "missing"), (&report.host, "not ok")] {
        for Finding { name, purpose, ok, detail } in findings {
            rows.push([if *ok { "ok" } else { absent }, name, purpose, detail]);
        }
    }
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [mark, name, purpose, detail] in &rows {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{mark:<0$}  {name:<1$}  {purpose:<2$}  {detail}",
            widths[0], widths[1], widths[2]
        );
    }
    match &report.install {
        Some(command) => {
            let _ = write!(text, "\nInstall what is missing as root:\n\n    {command}\n\n");
        }
        None if report.ok => text += "\nThe host has everything.\n",
        None => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ok: bool) -> Report {
        let finding = |name, ok| Finding { name, purpose: "p", ok, detail: "d".into() };
        Report {
            ok,
            packages: vec![finding("swtpm", ok), finding("gcc", true)],
            host: vec![finding("clippy", true)],
            install: (!ok).then(|| "apt-get install swtpm".to_owned()),
        }
    }

    #[test]
    fn what_is_missing_is_marked_and_the_command_is_told() {
        let text = text(&report(false));
        assert!(text.contains("missing  swtpm   p  d\nok       gcc"), "{text}");
        assert!(text.contains("\n    apt-get install swtpm\n"), "{text}");
    }

    #[test]
    fn a_host_with_everything_is_told_so() {
        assert!(text(&report(true)).ends_with("The host has everything.\n"));
    }
}
