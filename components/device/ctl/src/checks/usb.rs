//! USB is shut but for what was named.

use holdfast_ipc::usb::{Usb1Proxy, UsbStatus};
use zbus::Connection;

use super::{Context, Finding};

/// Asks the USB daemon.
pub(super) async fn ask(bus: &Connection) -> Result<UsbStatus, String> {
    let answer = async { Usb1Proxy::new(bus).await?.status().await };
    let json = answer.await.map_err(|error: zbus::Error| error.to_string())?;
    serde_json::from_str(&json).map_err(|error| format!("its answer cannot be read: {error}"))
}

pub(super) fn run(context: &Context) -> Finding {
    let status = match &context.usb {
        Ok(status) => status,
        Err(error) => {
            return Finding::failed(
                format!("the USB daemon says nothing: {error}"),
                "Nothing new is let in without it. See systemctl status holdfast-usb.",
            );
        }
    };
    for (what, error) in [("rules", &status.rules.error), ("port list", &status.ports.error)] {
        if !error.is_empty() {
            return Finding::failed(
                format!("the {what} in force are not those on the disk: {error}"),
                "Mend the file; what was in force before still is. See holdfast usb status.",
            );
        }
    }
    if !status.healthy {
        return Finding::failed(
            "a port cannot be switched",
            "See journalctl -u holdfast-usb, and holdfast usb ports.",
        );
    }
    if status.mode != "enforce" {
        return Finding::warning(
            "the USB policy is only observed: everything may be used",
            "Set mode = \"enforce\" in usb.toml of the image.",
        );
    }
    Finding::ok("USB lets in what its ports and rules name.")
}

#[cfg(test)]
mod tests {
    use holdfast_ipc::usb::{DeviceCounts, PortsStatus, RulesStatus};

    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;

    fn status() -> UsbStatus {
        UsbStatus {
            mode: "enforce".to_owned(),
            healthy: true,
            rules: RulesStatus {
                state: "image".to_owned(),
                file: "/usr/lib/holdfast/usb-rules.conf".to_owned(),
                error: String::new(),
                count: 0,
            },
            ports: PortsStatus {
                state: "image".to_owned(),
                error: String::new(),
                open: 0,
                shut: 8,
            },
            devices: DeviceCounts { allowed: 0, blocked: 2 },
            policy_version: None,
        }
    }

    #[test]
    fn table() {
        let with = |change: fn(&mut UsbStatus)| {
            let (mut fixture, mut status) = (Fixture::new(), status());
            change(&mut status);
            fixture.context.usb = Result::Ok(status);
            fixture
        };
        Fixture::new().expect(run, Failed, "no daemon");
        with(|_| ()).expect(run, Ok, "ports and rules");
        with(|s| s.rules.error = "line 2".to_owned()).expect(run, Failed, "rules in force");
        with(|s| s.ports.error = "line 3".to_owned()).expect(run, Failed, "line 3");
        with(|s| s.healthy = false).expect(run, Failed, "cannot be switched");
        with(|s| s.mode = "observe".to_owned()).expect(run, Warning, "only observed");
    }
}
