//! Command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::blocker::Files;

/// Keeps the USB ports: unused ones are off, and what is plugged into the others is let in by rules
/// alone. Without a command it is the daemon behind `holdfast usb`.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Options {
    /// What to do instead of being the daemon.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The files that both read.
    #[command(flatten)]
    pub image: ImageFiles,
    /// Folder of the device's own rules and port list.
    #[arg(long, default_value = "/var/lib/holdfast/usb")]
    pub state: PathBuf,
    /// Folder of what holds until the next boot.
    #[arg(long, default_value = "/run/holdfast/usb", global = true)]
    pub runtime: PathBuf,
    /// The rules that count where the device has none of its own.
    #[arg(long, default_value = "/usr/lib/holdfast/usb-rules.conf")]
    pub rules: PathBuf,
    /// Address of the message bus; the system bus if absent.
    #[arg(long)]
    pub bus: Option<String>,
    /// Group database with the roles.
    #[arg(long, default_value = "/etc/group")]
    pub groups: PathBuf,
    /// The journal's socket; it gets the audit records too.
    #[arg(long, default_value = "/run/systemd/journal/socket")]
    pub journal: PathBuf,
}

/// What to do instead of being the daemon.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Loads the drivers of the controllers, lets no device of theirs in, and switches off every
    /// port that the image's list does not name. The first thing that happens with USB after a boot.
    Lockdown,
}

/// Files of the image, and where sysfs is.
#[derive(Debug, Clone, Args)]
pub struct ImageFiles {
    /// How devices and ports are treated.
    #[arg(long, default_value = "/usr/lib/holdfast/usb.toml", global = true)]
    pub config: PathBuf,
    /// The port list that counts where the device has none of its own.
    #[arg(long, default_value = "/usr/lib/holdfast/usb-ports.conf", global = true)]
    pub ports: PathBuf,
    /// Mount point of sysfs.
    #[arg(long, default_value = "/sys", global = true)]
    pub sysfs: PathBuf,
}

impl Options {
    /// Where the daemon's files are.
    pub fn files(&self) -> Files {
        Files {
            state: self.state.clone(),
            runtime: self.runtime.clone(),
            rules: self.rules.clone(),
            ports: self.image.ports.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["holdfast-usb", "lockdown", "--sysfs", "/s"]);
        assert!(matches!(options.command, Some(Command::Lockdown)));
        assert_eq!(options.image.sysfs, PathBuf::from("/s"));
    }
}
