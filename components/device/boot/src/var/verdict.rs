//! `/run/holdfast/var/verdict.json` and the line on the console.

use serde::{Deserialize, Serialize};

use super::decide::Accepted;
use crate::refusal::Refusal;

/// What came of the state volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was there and is this device's own.
    Opened,
    /// It was made.
    Created,
    /// It is not used.
    Refused,
}

/// What the boot decided about the state volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What came of it.
    #[serde(rename = "verdict")]
    pub outcome: Outcome,
    /// Code of a refusal, else empty.
    pub reason: String,
    /// For people; empty if there is nothing to say.
    pub detail: String,
    /// How long it took.
    pub seconds: f64,
    /// Of a volume that is used: `as-expected`, or what is wrong with the policy that it is sealed
    /// to. It tells of a change that has still to do harm: what opened the volume was this boot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seal: String,
}

impl Verdict {
    /// Place of the file.
    pub const PATH: &str = "run/holdfast/var/verdict.json";

    /// The volume is sealed to what it should be.
    const SEALED: &str = "as-expected";

    /// A verdict after so many seconds.
    pub fn new(outcome: &Result<Accepted, Refusal>, seconds: f64) -> Self {
        let (outcome, reason, detail) = match outcome {
            Ok(Accepted::Opened) => (Outcome::Opened, "", ""),
            Ok(Accepted::Created) => (Outcome::Created, "", ""),
            Err(refusal) => (Outcome::Refused, refusal.reason.code(), refusal.detail.as_str()),
        };
        let seconds = (seconds * 1000.0).round() / 1000.0;
        let seal = String::new();
        Self { outcome, reason: reason.into(), detail: detail.into(), seconds, seal }
    }

    /// The same with what came of the look at the seal.
    #[must_use]
    pub fn with_seal(mut self, seal: Option<Result<(), String>>) -> Self {
        self.seal = match seal {
            None => String::new(),
            Some(Ok(())) => Self::SEALED.to_owned(),
            Some(Err(why)) => why,
        };
        self
    }

    /// The line on the console, without its prefix.
    pub fn line(&self) -> String {
        match self.outcome {
            Outcome::Opened => "var opened".to_owned(),
            Outcome::Created => "var created".to_owned(),
            Outcome::Refused => format!("var refused reason={}: {}", self.reason, self.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Reason;

    #[test]
    fn lines_and_file_have_the_form_that_readers_rely_on() {
        let verdict = |outcome| Verdict::new(&outcome, 1.234_567);
        assert_eq!(verdict(Ok(Accepted::Opened)).line(), "var opened");
        assert_eq!(verdict(Ok(Accepted::Created)).line(), "var created");
        let refused = verdict(Err(Refusal::new(Reason::BelowFloor, "too\n old")));
        assert_eq!(refused.line(), "var refused reason=below-floor: too; old");
        assert_eq!(
            serde_json::to_string(&refused).unwrap(),
            r#"{"verdict":"refused","reason":"below-floor","detail":"too; old","seconds":1.235}"#
        );
        let opened = verdict(Ok(Accepted::Opened)).with_seal(Some(Ok(())));
        assert_eq!(
            serde_json::to_string(&opened).unwrap(),
            r#"{"verdict":"opened","reason":"","detail":"","seconds":1.235,"seal":"as-expected"}"#
        );
    }
}
