//! What an operator needs to know about a device that stays closed.

use std::fs;

use holdfast_attestation::{edge_id::EdgeId, ek::ek_sha256, tpm::Public};
use holdfast_tpm::Tpm;

use crate::{
    files::read_text,
    places::Places,
    program,
    refusal::Reason,
    release::Release,
    var::verdict::{Outcome, Verdict},
};

const SERIAL: &str = "sys/class/dmi/id/product_serial";
const UNKNOWN: &str = "unknown";

/// What an operator needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `reason=<code>: text`, or what else is known.
    pub reason: String,
    /// The serial number in its normal form.
    pub edge_id: String,
    /// SHA-256 of the endorsement key.
    pub ek_sha256: String,
    /// What systemd could not start.
    pub failed_units: Vec<String>,
    /// Version of the release.
    pub release: String,
    /// The state volume is there, everything else is in order, and the TPM does not open it.
    pub is_locked: bool,
}

impl Facts {
    /// Gathers what can be had; what cannot is `unknown`.
    pub fn gather(places: &Places) -> Self {
        let release = read_text(&places.at(Release::PATH)).ok();
        let verdict = fs::read_to_string(places.at(Verdict::PATH)).ok();
        Self {
            is_locked: is_locked(verdict.as_deref()),
            reason: reason(verdict.as_deref()),
            edge_id: fs::read_to_string(places.at(SERIAL))
                .ok()
                .and_then(|text| EdgeId::parse(&text).ok())
                .map_or_else(|| UNKNOWN.to_owned(), |id| id.as_str().to_owned()),
            ek_sha256: ek_fingerprint(&places.tpm).unwrap_or_else(|| UNKNOWN.to_owned()),
            failed_units: failed_units(),
            release: release
                .and_then(|text| Release::parse(&text).ok())
                .map_or_else(|| UNKNOWN.to_owned(), |release| release.version),
        }
    }

    /// One line for the next boot.
    pub fn summary(&self) -> String {
        let units = self.failed_units.join(",");
        format!("release={} {} failed={units}", self.release, self.reason)
    }
}

fn reason(verdict: Option<&str>) -> String {
    match verdict.map(serde_json::from_str::<Verdict>) {
        Some(Ok(verdict)) if verdict.outcome == Outcome::Refused => {
            format!("reason={}: {}", verdict.reason, verdict.detail)
        }
        Some(Ok(_)) => "reason=unit-failed: the state volume is open, but the system could not be \
                        started; see the failed units"
            .to_owned(),
        Some(Err(_)) | None => "reason=no-verdict: the start ended before the state volume was \
                                judged; see the failed units"
            .to_owned(),
    }
}

fn is_locked(verdict: Option<&str>) -> bool {
    verdict.and_then(|text| serde_json::from_str::<Verdict>(text).ok()).is_some_and(|verdict| {
        verdict.outcome == Outcome::Refused && verdict.reason == Reason::VarDoesNotOpen.code()
    })
}

fn ek_fingerprint(tcti: &str) -> Option<String> {
    let ek = Tpm::open(tcti).ok()?.ek().ok()?;
    let spki = Public::parse(&ek.public).ok()?.to_spki_der().ok()?;
    Some(hex::encode(ek_sha256(&spki)))
}

fn failed_units() -> Vec<String> {
    let words = ["list-units", "--failed", "--plain", "--no-legend", "--no-pager", "--full"];
    let listed = program::run("/usr/bin/systemctl", words, &[0]);
    listed.map(|(_, text)| unit_names(&text)).unwrap_or_default()
}

fn unit_names(listed: &str) -> Vec<String> {
    listed.lines().filter_map(|line| line.split_whitespace().next()).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_the_reason() {
        let refused =
            r#"{"verdict":"refused","reason":"below-floor","detail":"old","seconds":1.0}"#;
        assert_eq!(reason(Some(refused)), "reason=below-floor: old");
        let opened = r#"{"verdict":"opened","reason":"","detail":"","seconds":1.0}"#;
        assert!(reason(Some(opened)).starts_with("reason=unit-failed"));
        assert!(reason(Some("{")).starts_with("reason=no-verdict"));
        assert!(reason(None).starts_with("reason=no-verdict"));
    }

    #[test]
    fn only_a_volume_that_does_not_open_is_recovered() {
        for reason in [Reason::VarDoesNotOpen, Reason::VarIsForeign, Reason::BelowFloor] {
            let text = format!(
                r#"{{"verdict":"refused","reason":"{}","detail":"","seconds":1.0}}"#,
                reason.code()
            );
            assert_eq!(is_locked(Some(&text)), reason == Reason::VarDoesNotOpen);
        }
        let opened = r#"{"verdict":"opened","reason":"var-does-not-open","detail":"","seconds":1}"#;
        assert!(!is_locked(Some(opened)));
        assert!(!is_locked(Some("{")) && !is_locked(None));
    }

    #[test]
    fn units_are_the_first_words() {
        let text = "holdfast-var.service loaded failed failed Holdfast state volume\nb.mount x\n";
        assert_eq!(unit_names(text), ["holdfast-var.service", "b.mount"]);
        assert!(unit_names("").is_empty());
    }
}
