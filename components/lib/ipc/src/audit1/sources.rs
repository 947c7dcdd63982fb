//! Which unit writes records under which name: `/usr/lib/holdfast/audit-sources.toml`.
//!
//! ```toml
//! unit_proof = "process-fd"
//!
//! [[source]]
//! name = "enroller"
//! unit = "holdfast-enroll.service"
//! ```

use holdfast_audit_log::Source;
use serde::Deserialize;

use crate::Caller;
use crate::allow_list::UnitProof;

/// Who may hand records in. Without a rule nobody may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSources {
    #[serde(default)]
    unit_proof: UnitProof,
    #[serde(default, rename = "source")]
    sources: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    unit: String,
}

/// Why the file is refused.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// Not TOML, or not of this form; the text names line and key.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// No daemon can have this name.
    #[error("source \"{0}\": expected 1 to 32 of a-z, 0-9 and '-'")]
    Name(String),
    /// A unit or a name that is there already, or a unit that is none.
    #[error("source \"{name}\": {problem}")]
    Rule {
        /// The source.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl AuditSources {
    /// Where the image keeps it.
    pub const PATH: &str = "/usr/lib/holdfast/audit-sources.toml";

    /// Reads and checks the file's text.
    pub fn parse(text: &str) -> Result<Self, SourcesError> {
        let sources: Self = toml::from_str(text)?;
        for (index, rule) in sources.sources.iter().enumerate() {
            Source::device(&rule.name).map_err(|_| SourcesError::Name(rule.name.clone()))?;
            let wrong = |problem| SourcesError::Rule { name: rule.name.clone(), problem };
            if rule.unit.strip_suffix(".service").is_none_or(str::is_empty) {
                return Err(wrong("its unit is not the name of a service unit"));
            }
            let earlier = &sources.sources[..index];
            if earlier.iter().any(|other| other.name == rule.name || other.unit == rule.unit) {
                return Err(wrong("name or unit has a rule already"));
            }
        }
        Ok(sources)
    }

    /// Whether the caller may write records of this source; otherwise the reason.
    pub fn may_record(&self, caller: &Caller, source: &Source) -> Result<(), String> {
        let unit = caller.unit.as_ref().ok_or("records are taken from listed units only")?;
        let rule = self.sources.iter().find(|rule| rule.unit == unit.name);
        let rule =
            rule.ok_or_else(|| format!("{} is not listed as a source of records", unit.name))?;
        if !unit.pinned && self.unit_proof == UnitProof::ProcessFd {
            return Err(format!("{}: the bus gave no proof of the process", unit.name));
        }
        if source.daemon() == Some(rule.name.as_str()) {
            Ok(())
        } else {
            Err(format!("{} writes as device:{}, not as {source}", unit.name, rule.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    const RULES: &str = "[[source]]\nname = \"enroller\"\nunit = \"holdfast-enroll.service\"\n\
                         [[source]]\nname = \"usb\"\nunit = \"holdfast-usb.service\"";

    fn caller(unit: Option<(&str, bool)>) -> Caller {
        let unit = unit.map(|(name, pinned)| Unit { name: name.to_owned(), pinned });
        Caller { uid: 990, role: None, pid: None, login_uid: None, unit, program: None }
    }

    #[test]
    fn each_unit_writes_under_its_own_name() {
        let enroller = Some(("holdfast-enroll.service", true));
        let table = [
            (enroller, "device:enroller", Ok(())),
            (enroller, "device:usb", Err("writes as device:enroller")),
            (enroller, "cloud", Err("not as cloud")),
            (Some(("holdfast-enroll.service", false)), "device:enroller", Err("no proof")),
            (Some(("sshd.service", true)), "device:enroller", Err("not listed")),
            (None, "device:enroller", Err("listed units only")),
        ];
        let sources = AuditSources::parse(RULES).unwrap();
        for (unit, source, expected) in table {
            let source = Source::try_from(source.to_owned()).unwrap();
            match (sources.may_record(&caller(unit), &source), expected) {
                (Ok(()), Ok(())) => {}
                (Err(reason), Err(part)) if reason.contains(part) => {}
                (result, _) => panic!("{unit:?} {source}: {result:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn files_that_cannot_be_meant_are_refused() {
        let rule = |name: &str, unit: &str| format!("[[source]]\nname=\"{name}\"\nunit=\"{unit}\"");
        let table = [
            (rule("", "a.service"), "expected 1 to 32"),
            (rule("Usb", "a.service"), "Usb"),
            (rule("usb", "a"), "service unit"),
            (rule("usb", ".service"), "service unit"),
            ("[[source]]\nname = \"usb\"".to_owned(), "unit"),
            ("[[sources]]".to_owned(), "sources"),
            (format!("{RULES}\n{}", rule("usb", "a.service")), "already"),
            (format!("{RULES}\n{}", rule("a", "holdfast-usb.service")), "already"),
        ];
        for (text, part) in table {
            let error = AuditSources::parse(&text).expect_err(&text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_shipped_file_lists_daemons() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../rootfs-overlay/usr/lib/holdfast/audit-sources.toml"
        );
        let sources = AuditSources::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        let enroller = caller(Some(("holdfast-enroll.service", true)));
        assert_eq!(sources.may_record(&enroller, &Source::device("enroller").unwrap()), Ok(()));
    }
}
