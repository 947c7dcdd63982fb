//! The site configuration, verified and measured before the daemon started.

use std::sync::Arc;

use holdfast_attestation::hash::sha256;
use holdfast_site::Site;

use crate::roots::{self, Succession};
use crate::state::{Event, Problem};
use crate::store::Pin;
use crate::trust::SiteTrust;

use super::Agent;

/// The site configuration and what follows from it.
#[derive(Debug, Clone)]
pub(super) struct SiteContext {
    pub(super) site: Site,
    pub(super) trust: SiteTrust,
    /// DER of the roots that `trust` goes by: the site's anchors, and those that took over.
    pub(super) trusted: Vec<Vec<u8>>,
    sha256: String,
    anchors_sha256: Vec<String>,
}

impl SiteContext {
    /// What a first enrolment at this site pins, on a TPM with this endorsement key.
    pub(super) fn pin(&self, ek_sha256: &str) -> Pin {
        Pin {
            tenant: self.site.tenant.as_str().to_owned(),
            anchors_sha256: self.anchors_sha256.clone(),
            site_sha256: self.sha256.clone(),
            ek_sha256: ek_sha256.to_owned(),
        }
    }

    /// Why an identity that was pinned elsewhere must not be used here.
    /// It may name other anchors only where the pinned ones have passed on to them.
    pub(super) fn contradicts(&self, pin: &Pin, successions: &[Succession]) -> Option<Problem> {
        let what = if pin.tenant != self.site.tenant.as_str() {
            format!("names tenant {}, the device belongs to {}", self.site.tenant, pin.tenant)
        } else if !self.follows(pin, successions) {
            "names other trust anchors than those of the first enrolment".to_owned()
        } else {
            return None;
        };
        let text = format!(
            "the site configuration {what}; put back the site configuration of the first \
             enrolment, or erase the state folder to enrol anew"
        );
        Some(Problem::new("site-changed", text))
    }

    /// Whether the pinned anchors, or roots that took over from them, are all that the site names.
    fn follows(&self, pin: &Pin, successions: &[Succession]) -> bool {
        let hash = |der: &Vec<u8>| hex::encode(sha256(&[der]));
        let algorithms = self.trust.provider().signature_verification_algorithms;
        let pinned = successions
            .iter()
            .map(|succession| succession.old_root().to_vec())
            .filter(|root| pin.anchors_sha256.contains(&hash(root)));
        let reached = roots::reachable(pinned, successions, &algorithms);
        let reached: Vec<String> = reached.iter().map(hash).collect();
        self.anchors_sha256
            .iter()
            .all(|anchor| pin.anchors_sha256.contains(anchor) || reached.contains(anchor))
    }
}

impl Agent {
    pub(super) fn load_site(&mut self) -> Event {
        let path = self.options.site.display().to_string();
        let content = match std::fs::read(&self.options.site) {
            Ok(content) => content,
            Err(error) => {
                let text = format!(
                    "cannot read the site configuration {path}: {error}; put site.toml and \
                     site.toml.sig onto the boot partition, see holdfast-site.service"
                );
                return Event::SiteUnusable(Problem::new("site-missing", text));
            }
        };
        let invalid = |error: &dyn std::fmt::Display| {
            let text = format!("{path}: {error}; make a new one with holdfast-cloud site new");
            Event::SiteUnusable(Problem::new("site-invalid", text))
        };
        let site = match Site::parse(&content) {
            Ok(site) => site,
            Err(error) => return invalid(&error),
        };
        let anchors = site.anchors().iter().map(holdfast_site::Anchor::der);
        let trust = match SiteTrust::new(anchors.clone(), Arc::clone(&self.clock)) {
            Ok(trust) => trust,
            Err(error) => return invalid(&error),
        };
        let mut anchors_sha256: Vec<String> =
            anchors.map(|der| hex::encode(sha256(&[der]))).collect();
        anchors_sha256.sort_unstable();
        let sha256 = hex::encode(sha256(&[&content]));
        let trusted = site.anchors().iter().map(|anchor| anchor.der().to_vec()).collect();
        self.site = Some(SiteContext { site, trust, trusted, sha256, anchors_sha256 });
        Event::SiteLoaded
    }
}
