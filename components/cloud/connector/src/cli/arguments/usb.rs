//! Arguments of `holdfast-cloud usb …`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::DeviceName;
use crate::registry::{GroupName, Tenant};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Usb {
    /// Rules and port lists that devices are told.
    #[command(subcommand)]
    Policy(UsbPolicy),
    /// List what is plugged into a device and what was decided about it, as its audit log tells.
    List(DeviceName),
}

const POLICY: &str = "\
What a device says of itself counts before what its group says, rules and ports each for themselves.
Devices ask every 15 minutes. What they are told takes the place of their own file; a text that is
cleared leaves the device with what it was told last.

  holdfast-cloud usb policy set --group lab --rules rules.conf --ports ports.conf
  holdfast-cloud usb policy set --device SN-0001 --ports sn-0001-ports.conf
  holdfast-cloud usb policy show --device SN-0001
  holdfast-cloud usb policy clear --device SN-0001 --ports";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UsbPolicy {
    /// Say what a group or a device has; what is not given stays as it is.
    #[command(after_long_help = POLICY, group(ArgGroup::new("texts").required(true).multiple(true)))]
    Set {
        #[command(flatten)]
        owner: UsbOwner,
        /// Rules, in USBGuard's language.
        #[arg(long, value_name = "FILE", group = "texts")]
        rules: Option<PathBuf>,
        /// List of ports that are in use.
        #[arg(long, value_name = "FILE", group = "texts")]
        ports: Option<PathBuf>,
    },
    /// Show what is said of a group or a device, and what the device was told.
    Show {
        #[command(flatten)]
        owner: UsbOwner,
    },
    /// Say nothing more, of rules or ports, or of both where neither is named.
    Clear {
        #[command(flatten)]
        owner: UsbOwner,
        /// Only of rules.
        #[arg(long)]
        rules: bool,
        /// Only of ports.
        #[arg(long)]
        ports: bool,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("owner").required(true)))]
pub(in crate::cli) struct UsbOwner {
    /// The devices of this group.
    #[arg(long, group = "owner")]
    pub(in crate::cli) group: Option<GroupName>,
    /// One device, by Edge ID or device id.
    #[arg(long, group = "owner")]
    pub(in crate::cli) device: Option<String>,
    /// Owner, where it is not clear.
    #[arg(long)]
    pub(in crate::cli) tenant: Option<Tenant>,
}
