//! What a device should have booted: the published releases, and its tenant's site configurations.

use holdfast_attestation::csr::CertificateRequest;
use holdfast_attestation::hash::sha256;
use holdfast_attestation::pcr::{QuotePolicy, ReleaseMeasurement, SITE_PCR};
use holdfast_attestation::verify::BootExpectation;

use crate::app::App;
use crate::registry::{Device, Digest, QuoteMode};
use crate::sites::Site;
use crate::store::StoreError;

/// Everything that check 9 compares with.
pub(super) struct Expectation {
    releases: Vec<ReleaseMeasurement>,
    sites: Vec<Site>,
    recorded_secure_boot_pcr: Option<[u8; 32]>,
    policy: QuotePolicy,
}

impl Expectation {
    /// For a device that may enrol.
    pub(super) async fn of_device(app: &App, device: &Device) -> Result<Self, StoreError> {
        let releases = app.store.releases().await?;
        let releases = releases
            .into_iter()
            .filter(crate::releases::Release::is_accepted)
            .map(|release| release.measurement)
            .collect();
        Ok(Self {
            releases,
            sites: app.store.sites(Some(device.tenant.clone())).await?,
            recorded_secure_boot_pcr: device.pcr7.map(|digest| digest.0),
            policy: match device.quote_policy {
                QuoteMode::Enforce => QuotePolicy::Enforce,
                QuoteMode::Record => QuotePolicy::Record,
            },
        })
    }

    /// For one that will be refused whatever it booted; the other checks still run.
    pub(super) fn of_stranger() -> Self {
        Self {
            releases: Vec::new(),
            sites: Vec::new(),
            recorded_secure_boot_pcr: None,
            policy: QuotePolicy::Record,
        }
    }

    /// The site that the request claims, which check 9 then holds against the quote.
    pub(super) fn site_of(&self, csr_der: &[u8]) -> Option<&Site> {
        let claimed = CertificateRequest::parse(csr_der)
            .ok()
            .and_then(|csr| csr.evidence())
            .and_then(Result::ok)
            .and_then(|evidence| {
                evidence.quote.pcr_values.into_iter().find(|value| value.index == SITE_PCR)
            });
        claimed.and_then(|value| self.sites.iter().find(|site| site.pcr() == value.digest))
    }

    /// What check 9 takes.
    pub(super) fn boot(&self, site: Option<&Site>) -> BootExpectation<'_> {
        // A tenant without sites has no expected value; this one nobody can extend to.
        let nothing = || sha256(&[b"no site configuration"]);
        let expected = site.or_else(|| self.sites.first());
        BootExpectation {
            releases: &self.releases,
            site_pcr: expected.map_or_else(nothing, Site::pcr),
            recorded_secure_boot_pcr: self.recorded_secure_boot_pcr,
            policy: self.policy,
        }
    }

    /// What the operator should know when the site is the reason of a refusal.
    pub(super) fn hint(&self, device: &Device) -> Option<String> {
        self.sites.is_empty().then(|| {
            format!(
                "no site configuration of tenant {} is known here; add one with holdfast-cloud \
                 site new or site add",
                device.tenant
            )
        })
    }
}

/// The site's hash, for the record.
pub(super) fn site_sha256(site: Option<&Site>) -> Option<Digest> {
    site.map(|site| site.sha256)
}
