//! `holdfast usb status`.

use holdfast_ipc::usb::{PortsStatus, RulesStatus, Usb1Proxy, UsbStatus};

use super::report;
use crate::text::field;
use crate::{Code, Failure, cli};

const LABEL: usize = 12;

pub(super) async fn show(usb: &Usb1Proxy<'_>, json: bool) -> Result<Code, Failure> {
    let status: UsbStatus = report(usb.status().await)?;
    if json {
        cli::print_json(&status)?;
    } else {
        cli::print(&block(&status))?;
    }
    Ok(Code::Ok)
}

fn block(status: &UsbStatus) -> String {
    let UsbStatus { mode, healthy, rules, ports, devices, policy_version } = status;
    let mode = match mode.as_str() {
        "enforce" => "enforce: what the policy does not allow cannot be used".to_owned(),
        "observe" => "observe: the policy is told and NOT enforced".to_owned(),
        other => other.to_owned(),
    };
    let PortsStatus { state, error, open, shut } = ports;
    let devices = format!("{} allowed, {} blocked", devices.allowed, devices.blocked);
    let mut lines = vec![
        field("Mode", LABEL, &mode),
        field("Rules", LABEL, &rules_line(rules)),
        field("Ports", LABEL, &format!("{open} on, {shut} off; the list is {}", origin(state))),
        field("Devices", LABEL, &devices),
    ];
    if let Some(version) = policy_version {
        lines.push(field("Policy", LABEL, &format!("the cloud's, version {version}")));
    }
    for (label, error) in [("Rules file", &rules.error), ("Port list", error)] {
        if !error.is_empty() {
            lines.push(field(label, LABEL, error));
        }
    }
    if !healthy {
        let advice = "Mend what the error names, with `holdfast usb rules replace FILE` if it is \
                      the rules; journalctl -u holdfast-usb says more.";
        lines.push(field("What to do", LABEL, advice));
    }
    lines.join("\n")
}

fn rules_line(RulesStatus { state, file, count, .. }: &RulesStatus) -> String {
    if state == "none" {
        return "none could be read: every device is blocked".to_owned();
    }
    let from = if file.is_empty() { String::new() } else { format!(", from {file}") };
    format!("{count}{from}; they are {}", origin(state))
}

/// Whose rules or ports these are.
fn origin(state: &str) -> &str {
    match state {
        "device" => "the device's own",
        "image" => "the image's",
        "last-good" => "the last good ones",
        "none" => "not there",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_ipc::usb::DeviceCounts;

    use super::*;

    fn status() -> UsbStatus {
        UsbStatus {
            mode: "enforce".into(),
            healthy: true,
            rules: RulesStatus {
                state: "device".into(),
                file: "/etc/usb.conf".into(),
                error: String::new(),
                count: 12,
            },
            ports: PortsStatus { state: "image".into(), error: String::new(), open: 4, shut: 1 },
            devices: DeviceCounts { allowed: 3, blocked: 1 },
            policy_version: Some(7),
        }
    }

    #[test]
    fn a_healthy_service_needs_nothing() {
        assert_eq!(
            block(&status()),
            "Mode        enforce: what the policy does not allow cannot be used\n\
             Rules       12, from /etc/usb.conf; they are the device's own\n\
             Ports       4 on, 1 off; the list is the image's\n\
             Devices     3 allowed, 1 blocked\n\
             Policy      the cloud's, version 7"
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let mut status = status();
        status.healthy = false;
        status.mode = "observe".into();
        status.rules.state = "none".into();
        status.rules.error = "line 3, column 7: unknown attribute \u{1b}".into();
        let text = block(&status);
        for part in [
            "NOT enforced",
            "Rules       none could be read: every device is blocked",
            "Rules file  line 3, column 7: unknown attribute ?",
            "What to do  Mend",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }
}
