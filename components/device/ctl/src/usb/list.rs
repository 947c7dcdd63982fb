//! `holdfast usb list`.

use holdfast_audit_log::show::quoted;
use holdfast_ipc::usb::{DeviceReport, Usb1Proxy};

use super::report;
use crate::text::{shortened, span, table};
use crate::{Code, Failure, cli};

/// Names and serial numbers are as long as a device likes.
const LONGEST_NAME: usize = 28;

/// Which devices are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Blocked,
    Allowed,
}

impl Which {
    pub(super) fn of(blocked: bool, allowed: bool) -> Self {
        match (blocked, allowed) {
            (true, _) => Self::Blocked,
            (false, true) => Self::Allowed,
            (false, false) => Self::All,
        }
    }

    fn shows(self, device: &DeviceReport) -> bool {
        match self {
            Self::All => true,
            Self::Blocked => device.target != "allow",
            Self::Allowed => device.target == "allow",
        }
    }
}

pub(super) async fn show(usb: &Usb1Proxy<'_>, which: Which, json: bool) -> Result<Code, Failure> {
    let mut devices: Vec<DeviceReport> = report(usb.list_devices().await)?;
    devices.retain(|device| which.shows(device));
    if json {
        cli::print_json(&devices)?;
    } else {
        cli::print(&block(&devices, which))?;
    }
    Ok(Code::Ok)
}

fn block(devices: &[DeviceReport], which: Which) -> String {
    if devices.is_empty() {
        let none = match which {
            Which::All => "No USB device is there.",
            Which::Blocked => "No USB device is blocked.",
            Which::Allowed => "No USB device is allowed.",
        };
        return none.to_owned();
    }
    let head = ["ID", "DEVICE", "USB ID", "NAME", "SERIAL", "TARGET", "REASON", "PORT"];
    table(head, &devices.iter().map(row).collect::<Vec<_>>())
}

fn row(device: &DeviceReport) -> [String; 8] {
    let name = |text: &str| shortened(&quoted(text), LONGEST_NAME);
    [
        device.id.to_string(),
        device.device.clone(),
        device.usb_id.clone(),
        name(&device.name),
        name(&device.serial),
        target(&device.target, device.observed),
        reason(device),
        device.port.clone(),
    ]
}

/// What is done with a device, or would be.
pub(super) fn target(target: &str, observed: bool) -> String {
    if observed && target != "allow" { format!("{target} (observed)") } else { target.to_owned() }
}

/// What says so, and for how long.
pub(super) fn reason(device: &DeviceReport) -> String {
    match device.seconds_left {
        Some(seconds) => format!("{}, {} left", device.reason, span(seconds)),
        None => device.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{keyboard, stick};
    use super::*;

    #[test]
    fn a_device_does_not_write_on_the_terminal() {
        assert_eq!(
            block(&[keyboard(), stick()], Which::All),
            "ID  DEVICE  USB ID     NAME                 SERIAL  TARGET  REASON                    PORT\n\
             4   1-1     046d:c31c  Keyboard                     allow   operator, 9 minutes left  hs/1\n\
             7   1-2.3   0781:5583  Ultra\\u{1b}[2J\\nFit  4C53    block   implicit                  hs/2.3"
        );
        let loud = DeviceReport { name: "x".repeat(200), observed: true, ..stick() };
        let text = block(&[loud], Which::All);
        assert!(text.contains(&format!("{}...  ", "x".repeat(25))), "{text}");
        assert!(text.contains("block (observed)"), "{text}");
    }

    #[test]
    fn blocked_is_what_is_not_allowed() {
        let rejected = DeviceReport { target: "reject".into(), ..stick() };
        for (which, shown) in [
            (Which::of(false, false), [true, true, true]),
            (Which::of(true, false), [false, true, true]),
            (Which::of(false, true), [true, false, false]),
        ] {
            assert_eq!([&keyboard(), &stick(), &rejected].map(|d| which.shows(d)), shown);
        }
        assert_eq!(block(&[], Which::Blocked), "No USB device is blocked.");
    }
}
