//! The audit daemons that are measured, one at a time, on one device and with the rules of the image.

use anyhow::Result;
use serde::Serialize;

use crate::bench::shell::Shell;

/// Where the peers write: on the disk that the log is on.
const LOGS: &str = "/var/lib/peer";

/// An audit daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Peer {
    /// Debian's auditd as it is configured there, but that it does not rotate.
    #[serde(rename = "auditd")]
    Auditd,
    /// The same, with laurel as its plugin.
    #[serde(rename = "auditd + laurel")]
    Laurel,
    /// Ours.
    #[serde(rename = "holdfast-audit")]
    Holdfast,
}

impl Peer {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 3] = [Self::Auditd, Self::Laurel, Self::Holdfast];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auditd => "auditd",
            Self::Laurel => "auditd + laurel",
            Self::Holdfast => "holdfast-audit",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Auditd => "peer-auditd.service",
            Self::Laurel => "peer-laurel.service",
            Self::Holdfast => "holdfast-audit.service",
        }
    }

    /// Writes the peers' configurations.
    pub fn prepare(shell: &mut Shell<'_>) -> Result<()> {
        let auditd = "sed -e 's#^log_file .*#log_file = /var/lib/peer/auditd.log#' \
                      -e 's/^log_group .*/log_group = root/' -e 's/^max_log_file .*/max_log_file = 3000/' \
                      -e 's/^use_libwrap .*/use_libwrap = no/' /etc/audit/auditd.conf";
        let laurel = "sed -e 's#^directory .*#directory = \"/var/lib/peer/laurel\"#' \
                      -e '/^user /d' -e 's/^size .*/size = 3000000000/' /etc/laurel/config.toml";
        let plugin = "active = yes\\ndirection = out\\ntype = always\\nformat = string\\n\
                      path = /usr/sbin/laurel\\nargs = --config /run/peer/laurel.toml\\n";
        for command in [
            format!("mkdir -p -m 700 {LOGS} {LOGS}/laurel"),
            "mkdir -p -m 750 /run/peer/auditd/plugins.d /run/peer/laurel/plugins.d".to_owned(),
            format!("{laurel} > /run/peer/laurel.toml"),
            format!("printf '{plugin}' > /run/peer/laurel/plugins.d/laurel.conf"),
            "chmod 640 /run/peer/laurel/plugins.d/laurel.conf".to_owned(),
        ] {
            shell.check(&command)?;
        }
        for name in ["auditd", "laurel"] {
            let folder = format!("/run/peer/{name}");
            let plugins = format!("-e 's#^plugin_dir .*#plugin_dir = {folder}/plugins.d#'");
            shell.check(&format!("{auditd} | sed {plugins} > {folder}/auditd.conf"))?;
            shell.check(&format!("chmod 640 {folder}/auditd.conf"))?;
        }
        Ok(())
    }

    /// Starts it; it is the kernel's audit daemon then.
    pub fn start(self, shell: &mut Shell<'_>) -> Result<()> {
        let unit = self.unit();
        match self {
            Self::Holdfast => shell.check(&format!("systemctl start {unit}"))?,
            Self::Auditd | Self::Laurel => {
                let folder = if self == Self::Auditd { "auditd" } else { "laurel" };
                shell.check(&format!(
                    "systemd-run --quiet --unit={unit} /usr/sbin/auditd -n -c /run/peer/{folder}"
                ))?
            }
        };
        let registered =
            "for i in $(seq 30); do auditctl -s | grep -q '^pid 0$' || break; sleep 1; done";
        shell.check(registered)?;
        shell.check(&format!("systemctl is-active {unit}"))?;
        Ok(())
    }

    /// Stops it.
    pub fn stop(self, shell: &mut Shell<'_>) -> Result<()> {
        shell.check(&format!("systemctl stop {}", self.unit()))?;
        shell.run(&format!("systemctl reset-failed {} 2> /dev/null", self.unit()))?;
        Ok(())
    }

    /// Processor time of all its processes so far, nanoseconds.
    pub fn cpu_ns(self, shell: &mut Shell<'_>) -> Result<u64> {
        shell.number(&format!("systemctl show --property=CPUUsageNSec --value {}", self.unit()))
    }

    /// Memory of all its processes, KiB of PSS.
    pub fn pss_kib(self, shell: &mut Shell<'_>) -> Result<u64> {
        shell.number(&format!(
            "s=0; for p in $(cat /sys/fs/cgroup/system.slice/{}/cgroup.procs); do \
             s=$((s + $(grep ^Pss: /proc/$p/smaps_rollup | tr -dc 0-9))); done; echo $s",
            self.unit()
        ))
    }

    /// How many programs its log has that were started with this argument.
    pub fn count_programs(self, shell: &mut Shell<'_>, since: u64, mark: &str) -> Result<u64> {
        match self {
            Self::Laurel => count(shell, &format!("bin/true\",\"{mark}\"]"), LAUREL),
            Self::Auditd => count(shell, &format!("a1=\"{mark}\""), AUDITD),
            Self::Holdfast => count(shell, &format!("a1=\"{mark}\""), &exported(since)),
        }
    }

    /// How many calls its log has that concern this file.
    pub fn count_calls(self, shell: &mut Shell<'_>, since: u64, file: &str) -> Result<u64> {
        match self {
            Self::Laurel => count(shell, &format!("\"name\":\"{file}\""), LAUREL),
            Self::Auditd => count(shell, &format!("name=\"{file}\""), AUDITD),
            Self::Holdfast => count(shell, &format!("name=\"{file}\""), &exported(since)),
        }
    }

    /// From where on to count.
    pub fn size(self, shell: &mut Shell<'_>) -> Result<u64> {
        match self {
            Self::Auditd | Self::Laurel => Ok(0),
            Self::Holdfast => {
                let status: serde_json::Value = shell.json("holdfast audit status --json")?;
                Ok(status["size"].as_u64().unwrap_or(0))
            }
        }
    }
}

const AUDITD: &str = "cat /var/lib/peer/auditd.log";
const LAUREL: &str = "cat /var/lib/peer/laurel/audit.log";

fn exported(since: u64) -> String {
    format!("holdfast audit export --since {since}")
}

/// Lines of a log that hold a text.
fn count(shell: &mut Shell<'_>, text: &str, log: &str) -> Result<u64> {
    shell.number(&format!("{log} | grep -Fc '{text}' || true"))
}
