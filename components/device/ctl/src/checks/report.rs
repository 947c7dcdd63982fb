//! The findings together.

use holdfast_ipc::identity::Identity1Proxy;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zbus::Connection;

use super::{Finding, Outcome};
use crate::text::field;

/// A finding and the check that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Stable id of the check.
    pub id: String,
    /// What it found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Entry {
    /// A finding of the check with this id.
    pub fn new(id: impl Into<String>, finding: Finding) -> Self {
        Self { id: id.into(), finding }
    }
}

/// All findings of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    entries: Vec<Entry>,
}

impl FromIterator<Entry> for Report {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl Extend<Entry> for Report {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        self.entries.extend(entries);
    }
}

impl Report {
    /// The findings in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether any check failed.
    pub fn failed(&self) -> bool {
        self.count(Outcome::Failed) > 0
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.entries.iter().filter(|entry| entry.finding.outcome == outcome).count()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "checks": self.entries,
            "ok": self.count(Outcome::Ok),
            "warning": self.count(Outcome::Warning),
            "failed": self.count(Outcome::Failed),
        })
    }

    pub(super) fn to_text(&self) -> String {
        let id_width = self.entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0) + 2;
        let mut lines = Vec::new();
        for Entry { id, finding } in &self.entries {
            let outcome = match finding.outcome {
                Outcome::Ok => "ok",
                Outcome::Warning => "warning",
                Outcome::Failed => "FAILED",
            };
            let label = format!("{outcome:9}{id:id_width$}");
            lines.push(field(&label, label.len(), &finding.text));
            if let Some(advice) = &finding.advice {
                lines.push(field(
                    &format!("{:width$}-> ", "", width = label.len()),
                    label.len() + 3,
                    advice,
                ));
            }
        }
        lines.push(format!(
            "{} checks: {} ok, {} warning, {} failed",
            self.entries.len(),
            self.count(Outcome::Ok),
            self.count(Outcome::Warning),
            self.count(Outcome::Failed)
        ));
        lines.join("\n")
    }
}

/// The identity service's checks of itself. What is wrong with them is a finding, too.
pub(super) async fn of_service(bus: &Connection) -> Vec<Entry> {
    let advice = "See journalctl -u holdfast-enroll.";
    let answer = async { Identity1Proxy::new(bus).await?.check().await }.await;
    let findings = match answer {
        Ok(json) => read_service(&json),
        Err(error) => Err(error.to_string()),
    };
    findings.unwrap_or_else(|error| {
        let text = format!("the identity service does not check itself: {error}");
        vec![Entry::new("identity-service", Finding::warning(text, advice))]
    })
}

fn read_service(json: &str) -> Result<Vec<Entry>, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        [
            Entry::new("tpm", Finding::ok("The TPM is there.")),
            Entry::new("secure-boot", Finding::failed("Secure Boot is off.", "Turn it on.")),
            Entry::new("clock", Finding::warning("It is 1970.", "Wait.")),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn text() {
        assert_eq!(
            report().to_text(),
            "ok       tpm          The TPM is there.\n\
             FAILED   secure-boot  Secure Boot is off.\n\
             \x20                     -> Turn it on.\n\
             warning  clock        It is 1970.\n\
             \x20                     -> Wait.\n\
             3 checks: 1 ok, 1 warning, 1 failed"
        );
        assert!(report().failed());
    }

    #[test]
    fn json_comes_back() {
        let json = report().to_json();
        let entries: Vec<Entry> = serde_json::from_value(json["checks"].clone()).unwrap();
        assert_eq!(entries, report().entries());
        assert_eq!((&json["failed"], &json["checks"][1]["outcome"]), (&json!(1), &json!("failed")));
        assert!(json["checks"][0].get("advice").is_none());
    }

    #[test]
    fn checks_of_the_service() {
        let json = r#"[{"id":"identity-tpm","outcome":"warning","text":"a","advice":"b"}]"#;
        let expected = Entry::new("identity-tpm", Finding::warning("a", "b"));
        assert_eq!(read_service(json).unwrap(), [expected]);
        assert!(read_service("{}").is_err());
        assert!(read_service(r#"[{"id":"x","outcome":"odd","text":""}]"#).is_err());
    }
}
