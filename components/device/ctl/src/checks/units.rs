//! No service has failed.

use super::{Context, Finding};

pub(super) fn run(context: &Context) -> Finding {
    let units = match &context.units {
        Ok(units) => units,
        Err(error) => {
            return Finding::warning(
                format!("systemd says nothing: {error}"),
                "Run the check on the device itself.",
            );
        }
    };
    if !units.failed.is_empty() {
        return Finding::failed(
            format!("failed units: {}", units.failed.join(", ")),
            format!("See systemctl status {}.", units.failed[0]),
        );
    }
    if units.is_starting() {
        return Finding::warning(
            "the system is still starting",
            "Run the check again when it has started: systemctl is-system-running --wait",
        );
    }
    match units.system_state.as_str() {
        "running" => Finding::ok("All units run."),
        state => Finding::failed(
            format!("systemd says that the system is {state:?}"),
            "See systemctl status and journalctl -b.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;
    use crate::bus::Units;

    #[test]
    fn table() {
        let table: &[(&str, &[&str], _, &str)] = &[
            ("running", &[], Ok, "All units"),
            ("starting", &[], Warning, "--wait"),
            ("degraded", &["a.service", "b.mount"], Failed, "a.service, b.mount"),
            ("starting", &["a.service"], Failed, "status a.service"),
            ("maintenance", &[], Failed, "maintenance"),
            ("", &[], Failed, "says"),
        ];
        for (state, failed, outcome, part) in table {
            Fixture::new()
                .units(Units {
                    system_state: (*state).into(),
                    failed: failed.iter().map(|&unit| unit.to_owned()).collect(),
                    ..Units::default()
                })
                .expect(run, *outcome, part);
        }
        Fixture::new().expect(run, Warning, "no systemd");
    }
}
