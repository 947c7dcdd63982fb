//! The enroller's checks of itself, for `holdfast check`.

use holdfast_ipc::identity::{IdentityStatus, State};
use serde::Serialize;

use crate::clock::{Clock, rfc3339};
use crate::keyring::Keys;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warning,
    /// Not as it should be.
    Failed,
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable id.
    pub id: &'static str,
    /// Result.
    pub outcome: Outcome,
    /// What was found.
    pub text: String,
    /// What to do, if something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    fn ok(id: &'static str, text: impl Into<String>) -> Self {
        Self { id, outcome: Outcome::Ok, text: text.into(), advice: None }
    }

    fn with(outcome: Outcome, id: &'static str, text: impl Into<String>, advice: &str) -> Self {
        Self { id, outcome, text: text.into(), advice: Some(advice.to_owned()) }
    }
}

/// Runs all checks on what the daemon knows.
pub fn run(status: &IdentityStatus, keys: &Keys, clock: &Clock) -> Vec<Check> {
    vec![tpm(keys), identity(status), certificate(status, clock), server_time(status, clock)]
}

fn tpm(keys: &Keys) -> Check {
    const ID: &str = "identity-tpm";
    // The first thing that the TPM makes.
    if keys.audit.is_some() {
        return Check::ok(ID, "the TPM works");
    }
    let advice = "enable the TPM in the firmware; see the journal of holdfast-enroll.service";
    Check::with(Outcome::Failed, ID, "the TPM was not usable since the start", advice)
}

fn identity(status: &IdentityStatus) -> Check {
    const ID: &str = "identity-state";
    let text = if status.last_error.is_empty() {
        format!("the identity is {}", status.state)
    } else {
        format!("the identity is {}: {}", status.state, status.last_error)
    };
    match status.state {
        State::Active => Check::ok(ID, text),
        State::Refused | State::Faulted | State::WaitingForSite => {
            let advice = "do what the text says; the device then goes on by itself";
            Check::with(Outcome::Failed, ID, text, advice)
        }
        _ => Check::with(Outcome::Warning, ID, text, "wait, or see to what the text names"),
    }
}

fn certificate(status: &IdentityStatus, clock: &Clock) -> Check {
    const ID: &str = "identity-certificate";
    let expires = status.certificate_expires;
    if expires == 0 {
        return Check::with(Outcome::Failed, ID, "there is no certificate", "see identity-state");
    }
    let text = format!("the certificate expires {}", rfc3339(expires));
    let now = clock.now();
    if now > expires {
        return Check::with(
            Outcome::Failed,
            ID,
            text,
            "connect the device, so that it enrols anew",
        );
    }
    if status.next_renewal != 0 && now > status.next_renewal {
        return Check::with(Outcome::Warning, ID, text, "connect the device, its renewal is due");
    }
    Check::ok(ID, text)
}

fn server_time(status: &IdentityStatus, clock: &Clock) -> Check {
    const ID: &str = "identity-server";
    if clock.is_synchronised() {
        return Check::ok(ID, "the server was spoken to since the start");
    }
    let text = if status.last_error.is_empty() {
        "the server was not spoken to since the start".to_owned()
    } else {
        format!("the server was not spoken to since the start: {}", status.last_error)
    };
    Check::with(Outcome::Warning, ID, text, "check the network and the connector's address")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SystemTimeSource, Validity};

    fn clock() -> Clock {
        Clock::new(Box::new(SystemTimeSource::default()), 4_000_000_000)
    }

    fn outcomes(status: &IdentityStatus, clock: &Clock) -> Vec<(&'static str, Outcome)> {
        run(status, &Keys::default(), clock)
            .into_iter()
            .map(|check| (check.id, check.outcome))
            .collect()
    }

    #[test]
    fn each_fault_is_named_by_its_check() {
        let good = IdentityStatus {
            state: State::Active,
            certificate_expires: 4_100_000_000,
            next_renewal: 4_050_000_000,
            ..IdentityStatus::default()
        };
        let (tpm, state) = ("identity-tpm", "identity-state");
        let (certificate, server) = ("identity-certificate", "identity-server");
        let synchronised = clock();
        let valid = Validity { not_before: 0, not_after: u64::MAX };
        synchronised.synchronise(4_000_000_001, valid).unwrap();
        assert_eq!(
            outcomes(&good, &synchronised),
            [
                (tpm, Outcome::Failed),
                (state, Outcome::Ok),
                (certificate, Outcome::Ok),
                (server, Outcome::Ok)
            ]
        );
        let table = [
            (IdentityStatus { state: State::Refused, ..good.clone() }, state, Outcome::Failed),
            (IdentityStatus { state: State::Enrolling, ..good.clone() }, state, Outcome::Warning),
            (
                IdentityStatus { certificate_expires: 0, ..good.clone() },
                certificate,
                Outcome::Failed,
            ),
            (
                IdentityStatus { certificate_expires: 3_999_999_999, ..good.clone() },
                certificate,
                Outcome::Failed,
            ),
            (
                IdentityStatus { next_renewal: 3_999_999_999, ..good.clone() },
                certificate,
                Outcome::Warning,
            ),
            (good, server, Outcome::Warning),
        ];
        for (status, id, outcome) in table {
            let found = outcomes(&status, &clock());
            assert!(found.contains(&(id, outcome)), "{id} {outcome:?}: {found:?}");
        }
    }

    #[test]
    fn the_form_is_the_agreed_one() {
        let check = Check::with(Outcome::Warning, "some-id", "text", "advice");
        assert_eq!(
            serde_json::to_string(&check).unwrap(),
            r#"{"id":"some-id","outcome":"warning","text":"text","advice":"advice"}"#
        );
    }
}
