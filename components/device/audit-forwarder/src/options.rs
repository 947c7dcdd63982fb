//! Command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use holdfast_ipc::audit1::AuditSources;

use crate::config::Config;

/// Keeps the device's audit log: what the kernel and the daemons report, in order, durable, signed
/// by the TPM, and brought to the connector.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// What to do instead of running as the daemon.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Folder of the log.
    #[arg(long, default_value = "/var/lib/holdfast/audit")]
    pub spool: PathBuf,
    /// Folder for what holds until the next boot.
    #[arg(long, default_value = "/run/holdfast/audit")]
    pub runtime: PathBuf,
    /// Size of the spool, and what becomes of it when it is full.
    #[arg(long, default_value = Config::PATH)]
    pub config: PathBuf,
    /// Rules of the kernel's audit.
    #[arg(long, default_value = "/usr/lib/holdfast/audit.rules")]
    pub rules: PathBuf,
    /// Which units hand records in, and as whom.
    #[arg(long, default_value = AuditSources::PATH)]
    pub sources: PathBuf,
    /// What booted.
    #[arg(long, default_value = "/run/holdfast/boot/report.json")]
    pub boot_report: PathBuf,
    /// What ties this boot to the TPM.
    #[arg(long, default_value = "/run/holdfast/boot/binding.json")]
    pub boot_binding: PathBuf,
    /// Address of the message bus; the system bus if absent.
    #[arg(long)]
    pub bus: Option<String>,
    /// Group database with the roles.
    #[arg(long, default_value = "/etc/group")]
    pub groups: PathBuf,
    /// Keep what daemons report, and leave the kernel's audit to somebody else.
    #[arg(long)]
    pub without_kernel: bool,
}

/// What to do instead.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Check a file of rules and estimate what they cost. Exit code 0: fine; 1: a rule matches so
    /// often that the log would drown; 2: the file cannot be read or is wrong.
    Lint {
        /// The file.
        file: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["holdfast-audit", "lint", "a.rules"]);
        assert!(matches!(options.command, Some(Command::Lint { .. })));
    }
}
