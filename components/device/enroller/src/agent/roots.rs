//! The daily look for roots that take over from those that the device trusts.

use std::sync::Arc;
use std::time::Duration;

use holdfast_attestation::hash::sha256;
use holdfast_ipc::identity::State;
use http::{Method, StatusCode};
use tokio::time::timeout;
use x509_cert::Certificate;

use crate::certs_only;
use crate::peer::{Peer, PeerError};
use crate::recorder::TRUST_ROOT;
use crate::roots::{self, LIMIT};
use crate::state::Holding;
use crate::tls;
use crate::trust::SiteTrust;

use super::Agent;
use super::site::SiteContext;

const CACERTS_PATH: &str = "/.well-known/est/cacerts";
const EVERY: u64 = 86_400;
/// The device waits meanwhile, and an order of an operator with it.
const PATIENCE: Duration = Duration::from_secs(20);

impl Agent {
    /// Asks the server for its roots, once per start and once per day, and trusts those that took
    /// over. What fails is tried again the next day: until the old root is retired, nothing hangs
    /// on it.
    pub(super) async fn refresh_roots(&mut self) {
        let now = self.clock.now();
        let due = self.roots_asked.is_none_or(|asked| now >= asked.saturating_add(EVERY));
        let at_rest = self.machine.state() == State::Active
            && self.machine.holding() == Holding::Active
            && self.machine.online();
        let Some(site) = self.site.clone().filter(|_| due && at_rest) else {
            return;
        };
        self.roots_asked = Some(now);
        match timeout(PATIENCE, published(&site)).await {
            Ok(Ok(certificates)) => {
                if let Err(problem) = self.take_over(&site, &certificates, now).await {
                    tracing::warn!("new roots were not taken over: {problem}");
                }
            }
            Ok(Err(error)) => tracing::warn!("the server's roots are not known: {error}"),
            Err(_) => tracing::warn!("the server's roots are not known: it takes too long"),
        }
    }

    async fn take_over(
        &mut self,
        site: &SiteContext,
        certificates: &[Certificate],
        now: u64,
    ) -> Result<(), String> {
        let algorithms = site.trust.provider().signature_verification_algorithms;
        let found = roots::find(&site.trusted, certificates, now, &algorithms);
        if found.is_empty() {
            return Ok(());
        }
        let successions: Vec<_> = self.held.roots.iter().chain(&found).cloned().collect();
        if successions.len() > LIMIT {
            return Err(format!(
                "there would be more than {LIMIT}; bring a site.toml that names the present root, \
                 and enrol anew"
            ));
        }
        let store = self.store.as_mut().ok_or("nothing is prepared yet")?;
        store.put_roots(&successions).map_err(|error| error.to_string())?;
        self.held.roots = successions;
        self.trust_roots().map_err(|error| error.to_string())?;
        for succession in &found {
            let [new, old] = [succession.new_root(), succession.old_root()]
                .map(|der| hex::encode(sha256(&[der])));
            tracing::info!(root = new, signed_by = old, "a new root is trusted");
            self.recorder.done(TRUST_ROOT, &new, &[new.as_bytes(), old.as_bytes()]).await;
        }
        // What was handed out trusts the old roots alone.
        self.session = None;
        let Some(active) = self.held.active.clone() else { return Ok(()) };
        let key = holdfast_tpm::KeyBlob::from_pem(&active.key).map_err(|e| e.to_string())?;
        let key = Arc::new(key);
        let handed_out = self
            .session_for(&active.chain, &key)
            .and_then(|connector| self.hand_out(key, &active.chain, connector));
        handed_out.map_err(|event| format!("{event:?}"))
    }

    /// Trusts the site's anchors and the roots that took over from them.
    pub(super) fn trust_roots(&mut self) -> Result<(), crate::trust::TrustError> {
        let Some(site) = &mut self.site else { return Ok(()) };
        let algorithms = site.trust.provider().signature_verification_algorithms;
        let anchors = site.site.anchors().iter().map(|anchor| anchor.der().to_vec());
        let trusted = roots::reachable(anchors, &self.held.roots, &algorithms);
        if trusted != site.trusted {
            let ders = trusted.iter().map(Vec::as_slice);
            site.trust = SiteTrust::new(ders, Arc::clone(&self.clock))?;
            site.trusted = trusted;
        }
        Ok(())
    }
}

/// The CA certificates that the server publishes, over a channel that a trusted root vouches for
/// (RFC 7030, section 4.1).
async fn published(site: &SiteContext) -> Result<Vec<Certificate>, PeerError> {
    let unusable = |reason: String| PeerError::Protocol {
        peer: site.site.connector.enrol_url.as_str().to_owned(),
        reason,
    };
    let tls = tls::anonymous(&site.trust).map_err(|error| unusable(error.to_string()))?;
    let mut server = Peer::connect(&site.site.connector.enrol_url, tls).await?;
    let answer = server.send(Method::GET, CACERTS_PATH, None).await?;
    if answer.status != StatusCode::OK {
        return Err(unusable(format!("{CACERTS_PATH} is answered with {}", answer.status)));
    }
    certs_only::parse(&answer.body).map_err(|error| unusable(error.to_string()))
}
