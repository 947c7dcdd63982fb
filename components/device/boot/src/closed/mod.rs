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

/// The verb.
pub fn run(places: &Places) -> ExitCode {
    let counting = Counting::read(places);
    let facts = Facts::gather(places);
    let conduct = counting.conduct();
    let lines = text(&facts, conduct);
    if conduct == Conduct::Restart {
        if let Err(error) = last_failure::record(places, &facts.summary()) {
            note(format_args!("the reason was not recorded: {error}"));
        }
        consoles::print(places, &lines);
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
        consoles::print(places, &lines);
        thread::sleep(BETWEEN_TEXTS);
    }
}

/// The lines without their prefix.
fn text(facts: &Facts, conduct: Conduct) -> Vec<String> {
    let mut lines = vec![
        facts.reason.clone(),
        format!("edge_id={} ek_sha256={}", facts.edge_id, facts.ek_sha256),
    ];
    if !facts.failed_units.is_empty() {
        lines.push(format!("failed units: {}", facts.failed_units.join(", ")));
    }
    lines.push(match conduct {
        Conduct::Restart => format!(
            "restarting in {} seconds: the boot loader tries again, then falls back",
            BEFORE_RESTART.as_secs()
        ),
        Conduct::Stay => "this release had started well before, or nothing is left to fall back \
                          to; the device stays closed until the reason is gone"
            .to_owned(),
    });
    lines
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
        let lines = text(&facts, Conduct::Restart);
        assert_eq!(
            lines[..3],
            [
                "reason=below-floor: too old",
                "edge_id=SN-1 ek_sha256=00ff",
                "failed units: a.service, b.service",
            ]
        );
        assert!(lines[3].starts_with("restarting in 30 seconds"), "{lines:?}");
        facts.failed_units.clear();
        let lines = text(&facts, Conduct::Stay);
        assert_eq!(lines.len(), 3);
        assert!(lines[2].contains("stays closed"), "{lines:?}");
    }
}
