//! How far a device is, read from its console.

use std::time::Duration;

use holdfast_qemu::Line;
use serde::Serialize;

/// An event on the way from power-on to an active device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// Its name.
    pub event: &'static str,
    /// Since power-on.
    pub seconds: f64,
}

/// Events in their order, and what the console shows for each.
const EVENTS: [(&str, &[&str]); 6] = [
    ("firmware", &["BdsDxe: starting"]),
    ("kernel", &["EFI stub:", "Linux version", "] Command line:", "holdfast-init:"]),
    ("root-verified", &["holdfast-init: root"]),
    ("var-unlocked", &["holdfast: var opened", "holdfast: var created"]),
    ("enrolled", &["holdfast: enrolled"]),
    (ACTIVE, &["holdfast: active"]),
];

/// The event that ends the way.
pub const ACTIVE: &str = "active";

/// What shows that the way leads nowhere.
const TROUBLE: [&str; 7] = [
    "Access Denied",
    "Kernel panic",
    "holdfast-init: boot refused",
    "holdfast: var refused",
    "holdfast: closed reason",
    "holdfast: refused",
    "holdfast: faulted",
];

/// The events that a console has shown, beginning with power-on.
pub fn read(lines: &[Line]) -> Vec<Moment> {
    let seen = EVENTS.iter().filter_map(|(event, patterns)| {
        let shows = |line: &&Line| patterns.iter().any(|pattern| line.text.contains(pattern));
        Some(moment(event, lines.iter().find(shows)?.at))
    });
    std::iter::once(moment("power-on", Duration::ZERO)).chain(seen).collect()
}

/// The first line that tells of a failure.
pub fn trouble(lines: &[Line]) -> Option<&Line> {
    lines.iter().find(|line| TROUBLE.iter().any(|pattern| line.text.contains(pattern)))
}

fn moment(event: &'static str, at: Duration) -> Moment {
    Moment { event, seconds: (at.as_secs_f64() * 1000.0).round() / 1000.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use holdfast_qemu::Line;

    use super::{read, trouble};

    fn lines(texts: &[&str]) -> Vec<Line> {
        let numbered = (1..).zip(texts);
        numbered
            .map(|(at, &text)| Line { at: Duration::from_secs(at), text: text.into() })
            .collect()
    }

    #[test]
    fn the_first_of_each_event_counts() {
        let shown = lines(&[
            "BdsDxe: loading Boot0001",
            "BdsDxe: starting Boot0001",
            "EFI stub: Loaded initrd",
            "[    2.1] holdfast-init: root 0123 on /dev/vda",
            "holdfast: var created",
            "holdfast: enrolled device_id=d",
            "holdfast: active device_id=d offline=false",
            "holdfast: active device_id=d offline=false",
        ]);
        let seen: Vec<(&str, f64)> = read(&shown).iter().map(|m| (m.event, m.seconds)).collect();
        assert_eq!(
            seen,
            [
                ("power-on", 0.0),
                ("firmware", 2.0),
                ("kernel", 3.0),
                ("root-verified", 4.0),
                ("var-unlocked", 5.0),
                ("enrolled", 6.0),
                ("active", 7.0)
            ]
        );
        assert_eq!(trouble(&shown), None);
    }

    #[test]
    fn a_later_boot_does_not_enrol() {
        let shown = lines(&["holdfast: var opened", "holdfast: active device_id=d offline=true"]);
        let events: Vec<&str> = read(&shown).iter().map(|moment| moment.event).collect();
        assert_eq!(events, ["power-on", "var-unlocked", "active"]);
    }

    #[test]
    fn trouble_is_found_in_the_middle_of_a_line() {
        let shown = lines(&["ok", "[   12.0] svc[1]: holdfast: faulted code=foreign-tpm", "more"]);
        assert_eq!(trouble(&shown), Some(&shown[1]));
    }
}
