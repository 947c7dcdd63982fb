//! Check 9: what booted.

use super::CheckFailure;
use crate::evidence::QuoteStatement;
use crate::hash::HashAlgorithm;
use crate::pcr::{
    COMMAND_LINE_PCR, KERNEL_PCR, PcrValue, QUOTED_PCRS, QuotePolicy, ReleaseMeasurement,
    SECURE_BOOT_PCR, SITE_PCR,
};
use crate::refusal::Reason;
use crate::tpm::{Attest, Attested, PcrSelection, Signature};

/// What the server expects a device to have booted.
#[derive(Debug, Clone, Copy)]
pub struct BootExpectation<'a> {
    /// The releases that the operator published, of whatever profile.
    pub releases: &'a [ReleaseMeasurement],
    /// The value of PCR 14 of the tenant's site configuration.
    pub site_pcr: [u8; 32],
    /// PCR 7 as recorded at the device's first enrolment; none before.
    pub recorded_secure_boot_pcr: Option<[u8; 32]>,
    /// What to do about values that are not expected.
    pub policy: QuotePolicy,
}

/// What a quote said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootVerdict {
    /// The values that the TPM quoted.
    pub pcr_values: Vec<PcrValue>,
    /// The release that booted, if it is known.
    pub release: Option<KnownRelease>,
    /// What `enforce` would have refused; always empty under `enforce`.
    pub deviations: Vec<CheckFailure>,
}

impl BootVerdict {
    /// The value of a PCR, if it was quoted.
    pub fn pcr(&self, index: u8) -> Option<&[u8; 32]> {
        self.pcr_values.iter().find(|value| value.index == index).map(|value| &value.digest)
    }
}

/// A release that was recognised by its value of PCR 11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRelease {
    /// Its version.
    pub version: String,
    /// Its profile.
    pub profile: String,
    /// Its security version.
    pub security_version: u64,
    /// The boot phase in which the quote was made.
    pub phase: String,
}

/// Check 9: the values are those that the TPM quoted, and those of a known release and site.
///
/// A selection or digest that does not fit is refused under every policy: the values sent would
/// then be no more than a claim.
pub fn check_boot_state(
    statement: &QuoteStatement,
    expectation: &BootExpectation<'_>,
) -> Result<BootVerdict, CheckFailure> {
    let values = quoted_values(statement)?;
    let [secure_boot, kernel, command_line, site] = values;
    let release = expectation.releases.iter().find_map(|release| {
        release.phase_of(&kernel).map(|phase| KnownRelease {
            version: release.version.clone(),
            profile: release.profile.clone(),
            security_version: release.security_version,
            phase: phase.to_owned(),
        })
    });
    let mut deviations = Vec::new();
    let mut deviates = |reason, detail| deviations.push(CheckFailure::new(9, reason, detail));
    if release.is_none() {
        deviates(
            Reason::ReleaseUnknown,
            format!(
                "PCR {KERNEL_PCR} is {}, which none of the {} published releases has",
                hex::encode(kernel),
                expectation.releases.len()
            ),
        );
    }
    if command_line != [0; 32] {
        deviates(
            Reason::CommandLineAdded,
            format!(
                "PCR {COMMAND_LINE_PCR} is {} instead of zero: the boot took a command line, \
                 credentials or drop-ins from outside the signed image",
                hex::encode(command_line)
            ),
        );
    }
    if site != expectation.site_pcr {
        deviates(
            Reason::SiteMismatch,
            format!(
                "PCR {SITE_PCR} is {}, expected {}: the device has another site configuration",
                hex::encode(site),
                hex::encode(expectation.site_pcr)
            ),
        );
    }
    if let Some(recorded) = expectation.recorded_secure_boot_pcr
        && recorded != secure_boot
    {
        deviates(
            Reason::SecureBootChanged,
            format!(
                "PCR {SECURE_BOOT_PCR} is {}, recorded is {}: Secure Boot's state or keys changed",
                hex::encode(secure_boot),
                hex::encode(recorded)
            ),
        );
    }
    if expectation.policy == QuotePolicy::Enforce
        && let Some(first) = deviations.first()
    {
        let details: Vec<_> = deviations.iter().map(|failure| failure.detail.as_str()).collect();
        return Err(CheckFailure::new(9, first.reason, details.join("; ")));
    }
    Ok(BootVerdict { pcr_values: statement.pcr_values.clone(), release, deviations })
}

/// The values of [`QUOTED_PCRS`], which the quote's selection and digest confirm.
fn quoted_values(statement: &QuoteStatement) -> Result<[[u8; 32]; 4], CheckFailure> {
    let attest = Attest::parse(&statement.attest)
        .map_err(|error| CheckFailure::new(7, Reason::EvidenceInvalid, error.to_string()))?;
    let signature = Signature::parse(&statement.signature)
        .map_err(|error| CheckFailure::new(7, Reason::EvidenceInvalid, error.to_string()))?;
    let Attested::Quote { selections, digest } = attest.attested else {
        return Err(CheckFailure::new(7, Reason::EvidenceInvalid, "the quote is no quote"));
    };
    let sent: Vec<u8> = statement.pcr_values.iter().map(|value| value.index).collect();
    let quoted = match selections.as_slice() {
        [selection] if selection.hash == HashAlgorithm::Sha256 => selection.indices(),
        _ => Vec::new(),
    };
    if quoted != QUOTED_PCRS || sent != QUOTED_PCRS {
        return Err(CheckFailure::new(
            9,
            Reason::QuoteSelection,
            format!(
                "the quote is over {}, the values sent are of PCRs {sent:?}; expected \
                 {QUOTED_PCRS:?} of the SHA-256 bank",
                describe(selections.as_slice())
            ),
        ));
    }
    let values: Vec<&[u8]> =
        statement.pcr_values.iter().map(|value| value.digest.as_slice()).collect();
    // The TPM hashes with the algorithm of its signature scheme (Part 3, TPM2_Quote).
    if signature.hash().digest(&values) != *digest {
        return Err(CheckFailure::new(
            9,
            Reason::QuoteDigest,
            "the PCR values sent are not those that the TPM signed",
        ));
    }
    let mut digests = [[0; 32]; 4];
    for (digest, value) in digests.iter_mut().zip(&statement.pcr_values) {
        *digest = value.digest;
    }
    Ok(digests)
}

fn describe(selections: &[PcrSelection]) -> String {
    let banks: Vec<_> = selections
        .iter()
        .map(|selection| format!("PCRs {:?} of {:?}", selection.indices(), selection.hash))
        .collect();
    if banks.is_empty() { "no PCR".to_owned() } else { banks.join(" and ") }
}
