//! What a device that stays closed says, and whether it restarts. There is never a shell. Where only
//! the state volume does not open, it asks for the recovery key.

mod ask;
mod consoles;
mod facts;
mod last_failure;
mod loader;
mod prompt;
mod recover;
mod terminals;

use std::{process::ExitCode, thread, time::Duration};

use crate::{console::note, places::Places, program};
use facts::Facts;
use loader::{Conduct, Counting};
use recover::Lock;

const BEFORE_RESTART: Duration = Duration::from_secs(30);
const BETWEEN_TEXTS: Duration = Duration::from_secs(60);
const FOR_CHECKS: Duration = Duration::from_secs(20);

/// The verb.
pub fn run(places: &Places) -> ExitCode {
    let counting = Counting::read(places);
    let facts = Facts::gather(places);
    let conduct = counting.conduct();
    let lock = facts.is_locked.then(|| Lock::find(places));
    let recovery = lock.as_ref().map(|lock| lock.as_ref().map(drop));
    let show = || show(places, &facts, conduct, recovery);
    if conduct == Conduct::Restart
        && let Err(error) = last_failure::record(places, &facts.summary())
    {
        note(format_args!("the reason was not recorded: {error}"));
    }
    if let Some(Ok(lock)) = &lock {
        return ask::ask(places, lock, &show, conduct);
    }
    if conduct == Conduct::Restart {
        show();
        thread::sleep(BEFORE_RESTART);
        return restart(places);
    }
    loop {
        show();
        thread::sleep(BETWEEN_TEXTS);
    }
}

/// Why and who, what the checks find, and what comes next.
fn show(places: &Places, facts: &Facts, conduct: Conduct, recovery: Option<Result<(), &String>>) {
    consoles::print(places, &reason_and_name(facts));
    consoles::show(places, &findings());
    let next = [Some(what_next(conduct)), recovery.map(|recovery| way_in(facts, recovery))];
    consoles::print(places, &next.into_iter().flatten().collect::<Vec<_>>());
}

/// The report of `holdfast check`. A bus that hangs must not keep the device from restarting.
fn findings() -> String {
    let words = [&FOR_CHECKS.as_secs().to_string(), "/usr/bin/holdfast", "check"];
    match program::run("/usr/bin/timeout", words, &[0, 1]) {
        Ok((_, report)) => report,
        Err(error) => format!("the checks did not run: {error}\n"),
    }
}

/// Units are not waited for: those that failed may hang.
fn restart(places: &Places) -> ExitCode {
    match program::run("/usr/bin/systemctl", ["reboot", "--force"], &[0]) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("cannot restart: {error}; switch the device off and on");
            consoles::print(places, &[line]);
            ExitCode::FAILURE
        }
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

/// What the recovery key can do here.
fn way_in(facts: &Facts, recovery: Result<(), &String>) -> String {
    match recovery {
        Ok(()) => format!(
            "type the recovery key here to open the state volume; the operator gets it with \
             holdfast-cloud recovery open {} --key FILE",
            facts.edge_id
        ),
        Err(why) => format!("no recovery here: {why}"),
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
            is_locked: false,
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
        assert!(way_in(&facts, Ok(())).contains("recovery open SN-1"));
        assert_eq!(way_in(&facts, Err(&"no record".into())), "no recovery here: no record");
    }
}
