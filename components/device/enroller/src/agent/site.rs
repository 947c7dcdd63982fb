//! The site configuration, verified and measured before the daemon started.

use std::path::Path;
use std::sync::Arc;

use holdfast_attestation::hash::sha256;
use holdfast_site::{Site, Transfer};

use crate::certificate;
use crate::keyring::Keys;
use crate::recorder::TRANSFER;
use crate::roots::{self, Succession};
use crate::state::{Event, Problem};
use crate::store::Pin;
use crate::transfer::Move;
use crate::trust::SiteTrust;

use super::Agent;
use super::problems::failed;

/// Beside the site configuration.
const TRANSFER_FILE: &str = "site.transfer";

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

    /// What other daemons need to speak with the connector: the device API's origin, the trusted
    /// roots as PEM.
    pub(super) fn as_told(&self) -> (String, String) {
        let roots = self.trusted.iter().map(|der| certificate::pem(der)).collect();
        (self.site.connector.device_url.as_str().to_owned(), roots)
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
             enrolment, or add the site.transfer with which the old cloud lets the device go \
             (holdfast-cloud site transfer)"
        );
        Some(Problem::new("site-changed", text))
    }

    /// Whether the cloud to which the device belongs let it go to this site. Nothing if there is no
    /// word of it.
    fn is_let_go(
        &self,
        path: &Path,
        pin: &Pin,
        successions: &[Succession],
    ) -> Result<bool, String> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let transfer = Transfer::parse(&text).map_err(|error| error.to_string())?;
        let successors = self.successors(pin, successions);
        Move { pin, site_sha256: &self.sha256, successors: &successors }
            .check(&transfer, &self.trust.provider().signature_verification_algorithms)
            .map(|()| true)
            .map_err(|error| format!("site.transfer: {error}"))
    }

    /// Whether the pinned anchors, or roots that took over from them, are all that the site names.
    fn follows(&self, pin: &Pin, successions: &[Succession]) -> bool {
        let reached = self.successors(pin, successions);
        self.anchors_sha256
            .iter()
            .all(|anchor| pin.anchors_sha256.contains(anchor) || reached.contains(anchor))
    }

    /// SHA-256 of the roots that took over from the pinned ones.
    fn successors(&self, pin: &Pin, successions: &[Succession]) -> Vec<String> {
        let hash = |der: &Vec<u8>| hex::encode(sha256(&[der]));
        let algorithms = self.trust.provider().signature_verification_algorithms;
        let pinned = successions
            .iter()
            .map(|succession| succession.old_root().to_vec())
            .filter(|root| pin.anchors_sha256.contains(&hash(root)));
        roots::reachable(pinned, successions, &algorithms).iter().map(hash).collect()
    }
}

impl Agent {
    /// Leaves the site to which the device belonged for the one it finds, if the former let it go.
    /// Otherwise the `problem` stands.
    pub(super) async fn leave_former_site(
        &mut self,
        site: &SiteContext,
        pin: &Pin,
        problem: Problem,
    ) -> Result<(), Event> {
        let path = self.options.site.with_file_name(TRANSFER_FILE);
        match site.is_let_go(&path, pin, &self.held.roots) {
            Ok(true) => {}
            Ok(false) => return Err(Event::Broken(problem)),
            Err(why) => {
                let text = format!("{}; {why}", problem.message);
                return Err(Event::Broken(Problem::new(problem.code, text)));
            }
        }
        let (from, to) = (pin.tenant.as_str(), site.site.tenant.as_str());
        tracing::warn!(from, to, "the device moves to another site, as its cloud allows");
        // Recorded first: what is cut after this is done, and recorded, again.
        let arguments = [pin.site_sha256.as_bytes(), site.sha256.as_bytes()];
        self.recorder.done(TRANSFER, &format!("from {from} to {to}"), &arguments).await;
        let Some(store) = &mut self.store else {
            return Err(failed("not-prepared", &"nothing is prepared yet"));
        };
        store.leave_site()?;
        self.session = None;
        self.keyring.update(|keys| *keys = Keys::default());
        self.held = store.load()?;
        Ok(())
    }

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
