//! The enroller's checks of itself, for `holdfast check`: one file per check.

mod certificate;
mod chain;
mod edge_id;
mod key;
mod server;
mod state;
mod tpm;

#[cfg(test)]
mod fixture;

use holdfast_ipc::identity::IdentityStatus;
use serde::Serialize;

use crate::clock::Clock;
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

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    outcome: Outcome,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Ok, text: text.into(), advice: None }
    }

    fn with(outcome: Outcome, text: impl Into<String>, advice: &str) -> Self {
        Self { outcome, text: text.into(), advice: Some(advice.to_owned()) }
    }
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable id.
    pub id: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

/// What the checks look at.
#[derive(Debug)]
pub struct Context<'a> {
    /// What the daemon shows of itself.
    pub status: &'a IdentityStatus,
    /// The keys that it hands out.
    pub keys: &'a Keys,
    /// The time that it goes by.
    pub clock: &'a Clock,
    /// Whether the TPM loads the device key, if there is one.
    pub device_key_loads: Option<Result<(), String>>,
    /// Whether the certificate leads to the trusted roots, if there is one.
    pub chain_verifies: Option<Result<(), String>>,
}

type Run = fn(&Context<'_>) -> Finding;

/// All checks, in the order in which an identity comes to be.
const CHECKS: [(&str, Run); 7] = [
    ("identity-tpm", tpm::run),
    ("identity-state", state::run),
    ("identity-key", key::run),
    ("identity-certificate", certificate::run),
    ("identity-chain", chain::run),
    ("identity-edge-id", edge_id::run),
    ("identity-server", server::run),
];

/// Runs all checks on what the daemon knows.
pub fn run(context: &Context<'_>) -> Vec<Check> {
    CHECKS.iter().map(|(id, run)| Check { id, finding: run(context) }).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_check_has_a_file_and_a_place_in_the_manual() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/check");
        let manual = include_str!("../../../../../docs/man/holdfast.1");
        for (id, _) in CHECKS {
            let file = id.trim_start_matches("identity-").replace('-', "_");
            assert!(folder.join(format!("{file}.rs")).is_file(), "{id}");
            assert!(manual.contains(&format!(".It Sy {id}\n")), "{id}");
        }
    }

    #[test]
    fn the_form_is_the_agreed_one() {
        let finding = Finding::with(Outcome::Warning, "text", "advice");
        assert_eq!(
            serde_json::to_string(&Check { id: "some-id", finding }).unwrap(),
            r#"{"id":"some-id","outcome":"warning","text":"text","advice":"advice"}"#
        );
    }
}
