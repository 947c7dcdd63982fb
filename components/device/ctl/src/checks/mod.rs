//! `holdfast check`: one file per check, each a function from a [`Context`] to a [`Finding`].
//!
//! A new check is a file of its id, and a line in [`CHECKS`].

mod certificate;
mod clock;
mod command_line;
mod context;
mod device_mapper;
mod enrolment;
mod finding;
mod firewall;
mod hardware;
mod mounts;
mod report;
mod secure_boot;
mod site;
mod tpm;
mod units;
mod usb;
mod var;
mod var_seal;
mod var_verdict;
mod verity;

#[cfg(test)]
mod fixture;

pub use context::Context;
pub use finding::{Finding, Outcome};
pub use report::{Entry, Report};

use std::time::{Duration, Instant};

use zbus::Connection;

use crate::{Code, Failure, bus, cli};

/// A check and its stable id.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Stable id; the file of the check has its name, with `_` for `-`.
    pub id: &'static str,
    run: fn(&Context) -> Finding,
}

/// All checks, in the order in which a device starts up.
pub const CHECKS: &[Check] = &[
    Check { id: "hardware", run: hardware::run },
    Check { id: "secure-boot", run: secure_boot::run },
    Check { id: "command-line", run: command_line::run },
    Check { id: "verity", run: verity::run },
    Check { id: "clock", run: clock::run },
    Check { id: "tpm", run: tpm::run },
    Check { id: "site", run: site::run },
    Check { id: "var-verdict", run: var_verdict::run },
    Check { id: "var", run: var::run },
    Check { id: "var-seal", run: var_seal::run },
    Check { id: "firewall", run: firewall::run },
    Check { id: "usb", run: usb::run },
    Check { id: "units", run: units::run },
    Check { id: "enrolment", run: enrolment::run },
    Check { id: "certificate", run: certificate::run },
];

/// Ids of all checks.
pub fn ids() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.id)
}

/// Runs the named checks, or all, on this machine.
pub(crate) async fn run(only: &[String], json: bool) -> Result<Code, Failure> {
    let (context, service) = look(only.is_empty()).await;
    let mut report = evaluate(&context, only);
    report.extend(service);
    if json {
        cli::print_json(&report.to_json())?;
    } else {
        cli::print(&report.to_text())?;
    }
    Ok(if report.failed() { Code::Failed } else { Code::Ok })
}

/// How long a start-up may go on before the checks are run all the same.
const START_UP: Duration = Duration::from_secs(120);

/// Runs all checks on this machine, once it has started, and prints what they found.
pub(crate) async fn print_all(bus: &Connection, json: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < START_UP && bus::units(bus).await.is_ok_and(|units| units.is_starting())
    {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    run(&[], json).await.map(drop)
}

/// Runs the named checks, or all, on what is known.
pub fn evaluate(context: &Context, only: &[String]) -> Report {
    let wanted = |check: &&Check| only.is_empty() || only.iter().any(|id| id == check.id);
    CHECKS.iter().filter(wanted).map(|check| Entry::new(check.id, (check.run)(context))).collect()
}

/// Gathers what the checks need, and the identity service's checks of itself. What cannot be
/// reached is a finding of the checks that need it.
async fn look(with_service: bool) -> (Context, Vec<Entry>) {
    let mut context = Context::of_this_machine();
    let bus = match bus::connect().await {
        Ok(bus) => bus,
        Err(failure) => {
            context.identity = Err(failure.text.clone());
            context.usb = Err(failure.text.clone());
            context.units = Err(failure.text);
            return (context, Vec::new());
        }
    };
    context.identity = bus::snapshot(&bus).await.map_err(|failure| failure.text);
    context.units = bus::units(&bus).await.map_err(|failure| failure.text);
    context.usb = usb::ask(&bus).await;
    let service = if with_service && context.identity.is_ok() {
        report::of_service(&bus).await
    } else {
        Vec::new()
    };
    (context, service)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn every_check_has_a_file_of_its_id() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks");
        for id in ids() {
            assert!(folder.join(format!("{}.rs", id.replace('-', "_"))).is_file(), "{id}");
        }
        assert_eq!(ids().collect::<BTreeSet<_>>().len(), CHECKS.len(), "an id is there twice");
    }

    #[test]
    fn the_manual_names_every_check() {
        let manual = include_str!("../../../../../docs/man/holdfast.1");
        for id in ids() {
            assert!(manual.contains(&format!(".It Sy {id}\n")), "{id}");
        }
    }

    #[test]
    fn only_named_checks_run() {
        let fixture = fixture::Fixture::new();
        let report = evaluate(&fixture.context, &["site".to_owned(), "clock".to_owned()]);
        let ids: Vec<_> = report.entries().iter().map(|entry| entry.id.clone()).collect();
        assert_eq!(ids, ["clock", "site"]);
    }

    #[test]
    fn an_empty_machine_fails_without_a_panic() {
        let fixture = fixture::Fixture::new();
        let report = evaluate(&fixture.context, &[]);
        assert_eq!(report.entries().len(), CHECKS.len());
        assert!(report.failed());
        for entry in report.entries() {
            assert_ne!(entry.finding.outcome, Outcome::Ok, "{}", entry.id);
            assert!(entry.finding.advice.is_some(), "{}", entry.id);
        }
    }
}
