//! What a device that stays closed says, and whether it restarts. There is never a shell.

mod consoles;
mod facts;
mod last_failure;
mod loader;

use std::{process::ExitCode, thread, time::Duration};

use crate::{console::note, places::Places, program};
use facts::Facts;
use loader::{Conduct, Counting};

const BEFORE_RESTART: Duration = Duration::from_secs(30);
const BETWEEN_TEXTS: Duration = Duration::from_secs(60);
const FOR_CHECKS: Duration = Duration::from_secs(20);

/// The verb.
pub fn run(places: &Places) -> ExitCode {
    let counting = Counting::read(places);
    let facts = Facts::gather(places);
    let conduct = counting.conduct();
    if conduct == Conduct::Restart {
        if let Err(error) = last_failure::record(places, &facts.summary()) {
            note(format_args!("the reason was not recorded: {error}"));
        }
        show(places, &facts, conduct);
        thread::sleep(BEFORE_RESTART);
        // Units are not waited for: those that failed may hang.
        return match program::run("/usr/bin/systemctl", ["reboot", "--force"], &[0]) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                let line = format!("cannot restart: {error}; switch the device off and on");
                consoles::print(places, &[line]);
                ExitCode::FAILURE
            }
        };
    }
    loop {
        show(places, &facts, conduct);
        thread::sleep(BETWEEN_TEXTS);
    }
}

/// Why and who, what the checks find, and what comes next.
fn show(places: &Places, facts: &Facts, conduct: Conduct) {
    consoles::print(places, &reason_and_name(facts));
    consoles::show(places, &findings());
    consoles::print(places, &[what_next(conduct)]);
}

/// The report of `holdfast check`. A bus that hangs must not keep the device from restarting.
fn findings() -> String {
    let words = [&FOR_CHECKS.as_secs().to_string(), "/usr/bin/holdfast", "check"];
    match program::run("/usr/bin/timeout", words, &[0, 1]) {
        Ok((_, report)) => report,
        Err(error) => format!("the checks did not run: {error}\n"),
    }
}

/// The lines without their prefix.
fn reason_and_name(facts: &Facts) -> Vec<String> {
    let mut lines = vec![
        facts.reason.clone(),
        format!("edge_id={} ek_sha256={}", facts.edge_id, facts.ek_sha256),
    ];
    if !facts.failed_units.is_empty() {
        lines.push(format!("failed units: {}", facts.failed_units.join(", ")));
    }
    lines
}

fn what_next(conduct: Conduct) -> String {
    match conduct {
        Conduct::Restart => format!(
            "restarting in {} seconds: the boot loader tries again, then falls back",
            BEFORE_RESTART.as_secs()
        ),
        Conduct::Stay => "this release had started well before, or nothing is left to fall back \
                          to; the device stays closed until the reason is gone"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_why_who_and_what_next() {
        let mut facts = Facts {
            reason: "reason=below-floor: too old".into(),
            edge_id: "SN-1".into(),
            ek_sha256: "00ff".into(),
            failed_units: vec!["a.service".into(), "b.service".into()],
            release: "0.1.0".into(),
        };
        assert_eq!(
            reason_and_name(&facts),
            [
                "reason=below-floor: too old",
                "edge_id=SN-1 ek_sha256=00ff",
                "failed units: a.service, b.service",
            ]
        );
        facts.failed_units.clear();
        assert_eq!(reason_and_name(&facts).len(), 2);
        assert!(what_next(Conduct::Restart).starts_with("restarting in 30 seconds"));
        assert!(what_next(Conduct::Stay).contains("stays closed"));
    }
}
