//! `holdfast usb watch`.

use std::io::Write as _;

use futures_util::StreamExt;
use holdfast_audit_log::show::quoted;
use holdfast_ipc::usb::{DecisionReport, Usb1Proxy, UsbStatus};

use super::{list, report};
use crate::service::Service;
use crate::text::printable;
use crate::{Code, Failure, cli};

/// Prints decisions until the bus goes away. Where the service goes, it says so and waits.
pub(super) async fn run(usb: &Usb1Proxy<'_>, json: bool) -> Result<Code, Failure> {
    let failure = |error| Service::USB.failure(error);
    let mut decisions = usb.receive_decided().await.map_err(failure)?;
    let mut owners = usb.inner().receive_owner_changed().await.map_err(failure)?;
    // Who may not look, or has nobody to look at, learns it now.
    report::<UsbStatus>(usb.status().await)?;
    loop {
        tokio::select! {
            decision = decisions.next() => {
                let Some(decision) = decision else { break };
                let answer = decision.args().map(|args| args.json().to_string());
                print(&report(answer)?, json)?;
            }
            owner = owners.next() => {
                let Some(owner) = owner else { break };
                let news = if owner.is_some() { "runs" } else { "does not run; waiting for it" };
                // Nobody is left to tell if standard error is closed.
                let _ = writeln!(std::io::stderr(), "holdfast: the USB service {news}");
            }
        }
    }
    Err(Failure::new(Code::Unreachable, "the system bus has closed the connection")
        .advise("It goes down with the system; otherwise: systemctl status dbus"))
}

fn print(decision: &DecisionReport, json: bool) -> Result<(), Failure> {
    if json { cli::print_json(decision) } else { cli::print(&line(decision)) }
}

fn line(decision: &DecisionReport) -> String {
    let DecisionReport { id, device, usb_id, name, reason, .. } = decision;
    let target = list::target(&decision.target, decision.observed);
    let text = format!("{target}: device {id} ({device}) {usb_id} {}; {reason}", quoted(name));
    printable(&text).replace('\n', "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_a_line() {
        let decision = DecisionReport {
            id: 7,
            device: "1-2".into(),
            usb_id: "0781:5583".into(),
            name: "Ultra\nallow: device".into(),
            target: "block".into(),
            reason: "rule 3 (label \"sticks\")".into(),
            rule: "block id 0781:5583".into(),
            observed: false,
        };
        assert_eq!(
            line(&decision),
            "block: device 7 (1-2) 0781:5583 Ultra\\nallow: device; rule 3 (label \"sticks\")"
        );
    }
}
