//! `holdfast status`.

mod explain;
mod watch;

use zbus::Connection;

use crate::{Code, Failure, Snapshot, bus, cli, text};

pub use watch::{Manner, watch};

const LABEL: usize = 13;

/// Prints the state once.
pub(crate) async fn show(bus: &Connection, json: bool) -> Result<Code, Failure> {
    let snapshot = bus::snapshot(bus).await?;
    if json {
        cli::print_json(&snapshot)?;
    } else {
        cli::print(&block(&snapshot, now()))?;
    }
    Ok(Code::Ok)
}

pub(crate) fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// The block of lines that tells a person at the device how far it is and what to do.
fn block(snapshot: &Snapshot, now: i64) -> String {
    let or_none =
        |text: &str| if text.is_empty() { "none yet".to_owned() } else { text.to_owned() };
    let explanation = explain::of(&snapshot.state);
    let mut lines = vec![
        text::field("State", LABEL, &format!("{}: {}", snapshot.state, explanation.meaning)),
        text::field("Edge ID", LABEL, &or_none(&snapshot.edge_id)),
        text::field("EK SHA-256", LABEL, &or_none(&snapshot.ek_sha256)),
    ];
    if !snapshot.device_id.is_empty() {
        lines.push(text::field("Device ID", LABEL, &snapshot.device_id));
    }
    if !snapshot.tenant.is_empty() {
        lines.push(text::field("Tenant", LABEL, &snapshot.tenant));
    }
    if snapshot.certificate_expires != 0 {
        let until = text::moment(snapshot.certificate_expires, now);
        lines.push(text::field("Valid until", LABEL, &until));
    }
    if snapshot.next_renewal != 0 {
        lines.push(text::field("Renewal", LABEL, &text::moment(snapshot.next_renewal, now)));
    }
    if !snapshot.last_error.is_empty() {
        let code = if snapshot.last_error_code.is_empty() {
            String::new()
        } else {
            format!(" [{}]", snapshot.last_error_code)
        };
        lines.push(text::field("Last error", LABEL, &format!("{}{code}", snapshot.last_error)));
    }
    if snapshot.next_attempt != 0 {
        lines.push(text::field("Next attempt", LABEL, &text::moment(snapshot.next_attempt, now)));
    }
    if let Some(next) = explanation.next {
        lines.push(text::field("What to do", LABEL, next));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_waits_says_for_what() {
        let snapshot = Snapshot {
            state: "waiting_for_approval".into(),
            edge_id: "EDGE-1".into(),
            ek_sha256: "ab".repeat(32),
            tenant: "demo".into(),
            last_error: "the cloud wants an approval\u{1b}[2J".into(),
            last_error_code: "approval-pending".into(),
            next_attempt: 1060,
            ..Snapshot::default()
        };
        assert_eq!(
            block(&snapshot, 1000),
            format!(
                "State        waiting_for_approval: an operator has to approve this device\n\
                 Edge ID      EDGE-1\n\
                 EK SHA-256   {}\n\
                 Tenant       demo\n\
                 Last error   the cloud wants an approval?[2J [approval-pending]\n\
                 Next attempt 1970-01-01T00:17:40Z (in 60 seconds)\n\
                 What to do   Approve it in the cloud by the Edge ID and the EK above; the device\n\
                 \x20            asks again by itself.",
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn an_active_device_needs_nothing() {
        let snapshot = Snapshot {
            state: "active".into(),
            edge_id: "EDGE-1".into(),
            ek_sha256: "ab".repeat(32),
            device_id: "7".into(),
            certificate_expires: 1000 + 86400 * 90,
            ..Snapshot::default()
        };
        let text = block(&snapshot, 1000);
        assert!(text.contains("Valid until  1970-04-01T00:16:40Z (in 90 days)"), "{text}");
        assert!(!text.contains("What to do"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80 && line.is_ascii()), "{text}");
    }
}
