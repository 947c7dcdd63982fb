//! `holdfast usb`: which USB devices and ports may be used.

mod arguments;
mod decide;
mod explain;
mod list;
mod ports;
mod rules;
mod status;
mod watch;

use clap::Subcommand;
use holdfast_ipc::usb::Usb1Proxy;
use holdfast_ipc::{CallError, ErrorKind};
use serde::de::DeserializeOwned;

use crate::service::Service;
use crate::{Code, Failure, bus};
use arguments::DeviceName;

/// What one does in the field.
pub(crate) const EXAMPLES: &str = "\
Examples:
  holdfast usb list --blocked             what is plugged in and may not be used
  holdfast usb explain 1-2                why the device at bus 1, port 2 may not
  holdfast usb allow 0781:5583 --for 10m  lets the one device of this kind in for ten minutes
  holdfast usb allow --once               lets in the device that is plugged in next
  holdfast usb allow 7 --permanent        adds a rule for device 7 to the policy
  holdfast usb generate-policy > rules.conf && holdfast usb rules replace rules.conf
                                          makes what is plugged in now the policy

A device is named by its number in the list, by its place in the system (1-2.3), or by vendor and
product (0781:5583) if only one such device is there.";

/// What to do about USB.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Shows the devices that are there: number, place, vendor and product, what is done with each,
    /// and why. Long names are cut; --json has them whole.
    List {
        /// Only devices that may not be used.
        #[arg(long, conflicts_with = "allowed")]
        blocked: bool,
        /// Only devices that may be used.
        #[arg(long)]
        allowed: bool,
    },
    /// Shows the ports, or switches one on or off for good. A port that is off stays dark whatever is
    /// plugged in.
    Ports {
        #[command(subcommand)]
        verb: Option<ports::Verb>,
    },
    /// Lets a device in: until it goes, or as long as you say.
    Allow(decide::Allow),
    /// Keeps a device out; it stays visible.
    Block(decide::Refuse),
    /// Takes a device away, as if it were pulled out.
    Reject(decide::Refuse),
    /// Shows the rules in force, or changes them. The first rule that applies decides; see docs/usb.md.
    Rules {
        #[command(subcommand)]
        verb: Option<rules::Verb>,
    },
    /// Prints a rules file that lets in what is plugged in now, and nothing else.
    GeneratePolicy {
        /// Each device only where it is now.
        #[arg(long)]
        with_ports: bool,
    },
    /// Holds a device against each rule and says which one decides, and why the ones before do not
    /// apply.
    Explain {
        /// Number, place (1-2.3), or vendor and product (0781:5583).
        device: DeviceName,
    },
    /// Stays and prints each decision as it is made, one line each; with --json an object each.
    Watch,
    /// Says whether the policy is enforced, where rules and ports come from, and what is wrong with
    /// them.
    Status,
}

/// Runs one of them.
pub(crate) async fn run(verb: Verb, json: bool) -> Result<Code, Failure> {
    let bus = bus::connect().await?;
    let usb = Usb1Proxy::new(&bus).await?;
    match verb {
        Verb::List { blocked, allowed } => {
            list::show(&usb, list::Which::of(blocked, allowed), json).await
        }
        Verb::Ports { verb } => ports::run(&usb, verb.unwrap_or(ports::Verb::List), json).await,
        Verb::Allow(allow) => decide::allow(&usb, &allow, json).await,
        Verb::Block(refuse) => decide::refuse(&usb, "block", &refuse, json).await,
        Verb::Reject(refuse) => decide::refuse(&usb, "reject", &refuse, json).await,
        Verb::Rules { verb } => rules::run(&usb, verb.unwrap_or(rules::Verb::List), json).await,
        Verb::GeneratePolicy { with_ports } => rules::generate(&usb, with_ports, json).await,
        Verb::Explain { device } => explain::show(&usb, &device, json).await,
        Verb::Watch => watch::run(&usb, json).await,
        Verb::Status => status::show(&usb, json).await,
    }
}

/// A report of the service.
fn report<T: DeserializeOwned>(answer: zbus::Result<String>) -> Result<T, Failure> {
    let json = answer.map_err(|error| Service::USB.failure(error))?;
    serde_json::from_str(&json).map_err(|error| Service::USB.odd(&error))
}

/// A call that did not succeed; with this advice if its arguments were not acceptable.
fn failed(error: zbus::Error, advice: &'static str) -> Failure {
    match CallError::from_reply(&error) {
        Some(CallError { kind: ErrorKind::InvalidArgs, message }) => {
            Failure::new(Code::Failed, message).advise(advice)
        }
        _ => Service::USB.failure(error),
    }
}

#[cfg(test)]
mod fixture {
    use holdfast_ipc::usb::DeviceReport;

    /// A stick that tries to clear the screen.
    pub(super) fn stick() -> DeviceReport {
        DeviceReport {
            id: 7,
            device: "1-2.3".into(),
            port: "hs/2.3".into(),
            usb_id: "0781:5583".into(),
            name: "Ultra\u{1b}[2J\nFit".into(),
            serial: "4C53".into(),
            hash: "q83v".into(),
            interfaces: vec!["08:06:50".into()],
            connect_type: "hotplug".into(),
            authorized: false,
            target: "block".into(),
            reason: "implicit".into(),
            observed: false,
            seconds_left: None,
            rule: "block id 0781:5583".into(),
        }
    }

    pub(super) fn keyboard() -> DeviceReport {
        DeviceReport {
            id: 4,
            device: "1-1".into(),
            port: "hs/1".into(),
            usb_id: "046d:c31c".into(),
            name: "Keyboard".into(),
            serial: String::new(),
            authorized: true,
            target: "allow".into(),
            reason: "operator".into(),
            seconds_left: Some(540),
            ..stick()
        }
    }
}
