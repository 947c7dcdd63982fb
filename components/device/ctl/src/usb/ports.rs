//! `holdfast usb ports`.

use clap::Subcommand;
use holdfast_ipc::usb::{PortReport, Usb1Proxy};
use serde::Serialize;

use super::{failed, report};
use crate::text::{printable, table};
use crate::{Code, Failure, cli};

/// What to do with ports.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Shows the ports of the hubs that are there.
    List,
    /// Switches a port on, for good.
    Enable {
        /// Its name in the list, as in pci0000:00/0000:00:04.0/hs/1.3.
        port: String,
    },
    /// Switches a port off, for good. What is plugged in there goes.
    Disable {
        /// Its name in the list, as in pci0000:00/0000:00:04.0/hs/1.3.
        port: String,
    },
}

#[derive(Serialize)]
struct Switched<'a> {
    port: &'a str,
    enabled: bool,
}

pub(super) async fn run(usb: &Usb1Proxy<'_>, verb: Verb, json: bool) -> Result<Code, Failure> {
    let (port, enabled, answer) = match &verb {
        Verb::List => return show(usb, json).await,
        Verb::Enable { port } => (port, true, usb.enable_port(port).await),
        Verb::Disable { port } => (port, false, usb.disable_port(port).await),
    };
    answer.map_err(|error| failed(error, "`holdfast usb ports` shows which ports are there."))?;
    if json {
        cli::print_json(&Switched { port, enabled })?;
    } else {
        cli::print(&format!("{}: {}", printable(port), switch(enabled)))?;
    }
    Ok(Code::Ok)
}

async fn show(usb: &Usb1Proxy<'_>, json: bool) -> Result<Code, Failure> {
    let ports: Vec<PortReport> = report(usb.list_ports().await)?;
    if json {
        cli::print_json(&ports)?;
    } else {
        cli::print(&block(&ports))?;
    }
    Ok(Code::Ok)
}

fn switch(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}

fn block(ports: &[PortReport]) -> String {
    if ports.is_empty() {
        return "No USB port is there.".to_owned();
    }
    let row = |port: &PortReport| {
        [
            port.name.clone(),
            switch(port.enabled).to_owned(),
            port.state.clone(),
            port.connect_type.clone(),
            port.sysfs.clone(),
            port.device.clone(),
        ]
    };
    let head = ["PORT", "IS", "STATE", "FIRMWARE", "SYSFS", "DEVICE"];
    table(head, &ports.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_on_or_off() {
        let port = |name: &str, enabled, device: &str| PortReport {
            name: name.into(),
            sysfs: "usb1-port2".into(),
            state: "used".into(),
            enabled,
            connect_type: "hotplug".into(),
            device: device.into(),
        };
        assert_eq!(
            block(&[port("hs/2", true, "1-2"), port("hs/12", false, "")]),
            "PORT   IS   STATE  FIRMWARE  SYSFS       DEVICE\n\
             hs/2   on   used   hotplug   usb1-port2  1-2\n\
             hs/12  off  used   hotplug   usb1-port2"
        );
        assert_eq!(block(&[]), "No USB port is there.");
    }
}
