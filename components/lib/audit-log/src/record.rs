//! The record itself.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Action, Actor, ArgumentsDigest, Error, Source, Text};

/// Whether the operation was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The caller may do this.
    Allowed,
    /// The caller may not; nothing was done.
    Denied,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done, or, where the record is written before the operation, it begins.
    Ok,
    /// It was not done.
    Failed,
}

/// One operation: when, where, who, what, on what, whether it was allowed and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct AuditRecord(Raw);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    source: Source,
    actor: Actor,
    action: Action,
    target: Text<512>,
    arguments_sha256: ArgumentsDigest,
    decision: Decision,
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Text<1024>>,
}

impl AuditRecord {
    /// No record's JSON is longer than this, bytes.
    pub const MAX_JSON_BYTES: usize = 8192;

    /// An allowed operation that succeeded, without arguments; `with_arguments`, `denied` and
    /// `failed` say otherwise.
    pub fn new(
        time: OffsetDateTime,
        source: Source,
        actor: Actor,
        action: Action,
        target: Text<512>,
    ) -> Self {
        Self(Raw {
            time,
            source,
            actor,
            action,
            target,
            arguments_sha256: ArgumentsDigest::of(&[]),
            decision: Decision::Allowed,
            outcome: Outcome::Ok,
            reason: None,
        })
    }

    /// Adds the digest of the arguments.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&[u8]]) -> Self {
        self.0.arguments_sha256 = ArgumentsDigest::of(arguments);
        self
    }

    /// Says that the caller may not do this, and why.
    #[must_use]
    pub fn denied(mut self, reason: Text<1024>) -> Self {
        self.0.decision = Decision::Denied;
        self.0.outcome = Outcome::Failed;
        self.0.reason = Some(reason);
        self
    }

    /// Says that the operation failed, and why.
    #[must_use]
    pub fn failed(mut self, reason: Text<1024>) -> Self {
        self.0.outcome = Outcome::Failed;
        self.0.reason = Some(reason);
        self
    }

    /// One line of JSON, without a line end.
    pub fn to_json(&self) -> Result<String, Error> {
        self.0.check()?;
        Ok(serde_json::to_string(self)?)
    }

    /// Reads and checks one record.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        if json.len() > Self::MAX_JSON_BYTES {
            return Err(Error::TooLarge(json.len()));
        }
        Ok(serde_json::from_str(json)?)
    }

    /// When the operation was asked for.
    pub fn time(&self) -> OffsetDateTime {
        self.0.time
    }

    /// Who wrote the record.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// Who asked.
    pub fn actor(&self) -> &Actor {
        &self.0.actor
    }

    /// What was asked.
    pub fn action(&self) -> &Action {
        &self.0.action
    }

    /// On what.
    pub fn target(&self) -> &str {
        self.0.target.as_str()
    }

    /// Digest of the arguments.
    pub fn arguments_sha256(&self) -> &ArgumentsDigest {
        &self.0.arguments_sha256
    }

    /// Whether it was let through.
    pub fn decision(&self) -> Decision {
        self.0.decision
    }

    /// What came of it.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Why it was denied or failed.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_ref().map(Text::as_str)
    }
}

impl Raw {
    fn check(&self) -> Result<(), Error> {
        if let Some(missing) = self.actor.missing() {
            return Err(Error::Contradiction(missing));
        }
        if self.decision == Decision::Denied && self.outcome == Outcome::Ok {
            return Err(Error::Contradiction("a denied operation cannot have succeeded"));
        }
        if self.outcome == Outcome::Failed && self.reason.is_none() {
            return Err(Error::Contradiction("a failed or denied operation needs a reason"));
        }
        Ok(())
    }
}

impl TryFrom<Raw> for AuditRecord {
    type Error = Error;
    fn try_from(raw: Raw) -> Result<Self, Error> {
        raw.check()?;
        Ok(Self(raw))
    }
}

impl From<AuditRecord> for Raw {
    fn from(record: AuditRecord) -> Self {
        record.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    fn record() -> AuditRecord {
        AuditRecord::new(
            datetime!(2025-11-22 10:00:00.25 UTC),
            Source::device("enroller").unwrap(),
            Actor {
                pid: Some(42),
                process: Some(Text::lossy("/usr/bin/holdfast")),
                ..Actor::user(1000).with_login_uid(1000)
            },
            Action::new("identity.sign").unwrap(),
            Text::new("tls").unwrap(),
        )
        .with_arguments(&[b"a", b"bc"])
    }

    #[test]
    fn wire_form() {
        let json = record().denied(Text::lossy("not \"you\"")).to_json().unwrap();
        let digest = String::from(ArgumentsDigest::of(&[b"a", b"bc"]));
        assert_eq!(
            json,
            format!(
                r#"{{"time":"2025-11-22T10:00:00.25Z","source":"device:enroller","actor":{{"kind":"user","uid":1000,"login_uid":1000,"pid":42,"process":"/usr/bin/holdfast"}},"action":"identity.sign","target":"tls","arguments_sha256":"{digest}","decision":"denied","outcome":"failed","reason":"not \"you\""}}"#
            )
        );
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        let good: serde_json::Value =
            serde_json::from_str(&record().failed(Text::lossy("x")).to_json().unwrap()).unwrap();
        let changed = |path: &str, value: serde_json::Value| {
            let mut json = good.clone();
            let (parent, key) = path.rsplit_once('/').unwrap();
            json.pointer_mut(parent).unwrap()[key] = value;
            AuditRecord::from_json(&json.to_string()).map(|_| ()).map_err(|e| e.to_string())
        };
        let table: &[(&str, serde_json::Value, &str)] = &[
            ("/reason", serde_json::Value::Null, "needs a reason"),
            ("/reason", "a\nb".into(), "U+000A"),
            ("/time", "yesterday".into(), "not an audit record"),
            ("/source", "device:".into(), "not a source"),
            ("/actor/uid", serde_json::Value::Null, "needs a uid"),
            ("/actor/kind", "api-key".into(), "needs a name"),
            ("/actor/kind", "robot".into(), "robot"),
            ("/actor/shell", "sh".into(), "shell"),
            ("/action", "sign".into(), "not an action"),
            ("/target", "x".repeat(513).into(), "513 bytes"),
            ("/arguments_sha256", "00".into(), "64 lower-case"),
            ("/arguments_sha256", "A".repeat(64).into(), "64 lower-case"),
            ("/decision", "perhaps".into(), "perhaps"),
            ("/colour", "red".into(), "colour"),
        ];
        for (path, value, message) in table {
            let error = changed(path, value.clone()).expect_err(path);
            assert!(error.contains(message), "{path}: {error}");
        }
        let denied_ok =
            record().denied(Text::lossy("x")).to_json().unwrap().replace("failed", "ok");
        assert!(AuditRecord::from_json(&denied_ok).unwrap_err().to_string().contains("succeeded"));
        assert!(matches!(AuditRecord::from_json(&" ".repeat(8193)), Err(Error::TooLarge(8193))));
    }

    #[test]
    fn an_actor_made_by_hand_is_checked_when_written() {
        let nobody = Actor { uid: None, ..Actor::user(0) };
        let record = AuditRecord::new(
            datetime!(2025-11-22 10:00 UTC),
            Source::cloud(),
            nobody,
            Action::new("a.b").unwrap(),
            Text::default(),
        );
        assert!(matches!(record.to_json(), Err(Error::Contradiction(_))));
    }

    proptest! {
        #[test]
        fn the_longest_record_fits_and_comes_back(c in prop::sample::select(vec!['"', '\\', 'ü', '✓', '𝄞'])) {
            let filled = |max: usize| c.to_string().repeat(max / c.len_utf8());
            let longest = AuditRecord::new(
                datetime!(2025-11-22 10:00:00.123456789 UTC),
                Source::device(&"x".repeat(32)).unwrap(),
                Actor {
                    login_uid: Some(u32::MAX),
                    pid: Some(u32::MAX),
                    process: Some(Text::new(filled(256)).unwrap()),
                    unit: Some(Text::new(filled(256)).unwrap()),
                    name: Some(Text::new(filled(128)).unwrap()),
                    ..Actor::user(u32::MAX)
                },
                Action::new(format!("a.{}", "b".repeat(62))).unwrap(),
                Text::new(filled(512)).unwrap(),
            )
            .denied(Text::new(filled(1024)).unwrap());
            let json = longest.to_json().unwrap();
            prop_assert!(json.len() <= AuditRecord::MAX_JSON_BYTES, "{}", json.len());
            prop_assert_eq!(AuditRecord::from_json(&json).unwrap(), longest);
        }
    }
}
