//! Trying a certificate over mutual TLS, and putting one that works in place.

use std::sync::Arc;

use holdfast_tpm::KeyBlob;
use rustls::ClientConfig;

use crate::certificate::Chain;
use crate::clock::Validity;
use crate::device_api::{DeviceApi, Reply, SelfReport};
use crate::recorder::ACTIVATE;
use crate::state::{Event, Holding, Problem};
use crate::store::Identity;
use crate::tls;
use crate::tpm_key::TpmKey;

use super::Agent;
use super::problems::failed;

/// The state in which the registry holds a device that is welcome.
const WELCOME: &str = "active";

/// A TLS configuration with one certificate, kept so that sessions can be resumed.
pub(super) struct Session {
    thumbprint: [u8; 32],
    tls: Arc<ClientConfig>,
}

impl Agent {
    pub(super) async fn confirm(&mut self) -> Event {
        let event = self.try_confirm().await.unwrap_or_else(|event| event);
        if matches!(event, Event::CertificateRejected(_))
            && matches!(self.machine.holding(), Holding::Pending | Holding::Renewing)
            && let Err(event) = self.discard_pending()
        {
            return event;
        }
        event
    }

    async fn try_confirm(&mut self) -> Result<Event, Event> {
        let (chain, connector) = self.connector()?;
        match connector.ask_self().await? {
            Reply::Report { report, server_certificate } => {
                self.take_time(report.time, server_certificate)?;
                let renewal = chain.renewal().map_err(|error| failed("state-damaged", &error))?;
                let due = self.clock.is_synchronised() && self.clock.now() >= renewal;
                Ok(match judge(&report, &chain) {
                    Event::Confirmed if due => Event::RenewalDue,
                    event => event,
                })
            }
            Reply::Refused(rejection) => {
                self.last_request_id.clone_from(&rejection.request_id);
                let about_certificate = rejection.is_about_certificate();
                Ok(match rejection.into_event() {
                    Event::Refused { problem, .. } if about_certificate => {
                        Event::CertificateRejected(problem)
                    }
                    event => event,
                })
            }
        }
    }

    fn mutual_tls(&mut self) -> Result<(Chain, Arc<ClientConfig>), Event> {
        let (key, chain) = match (self.machine.holding(), &self.held.pending, &self.held.active) {
            (Holding::Pending | Holding::Renewing, Some(pending), _) => {
                (&pending.key, pending.chain.as_ref())
            }
            (Holding::Active, _, Some(active)) => (&active.key, Some(&active.chain)),
            _ => return Err(failed("not-prepared", &"no certificate is held")),
        };
        let chain = chain.cloned().ok_or_else(|| failed("not-prepared", &"no certificate"))?;
        let blob = Arc::new(KeyBlob::from_pem(key)?);
        let tls = self.session(&chain, &blob)?;
        Ok((chain, tls))
    }

    /// The TLS configuration of a certificate, kept while it is the one in use, so that its
    /// sessions can be resumed and the TPM need not sign each time.
    fn session(&mut self, chain: &Chain, key: &Arc<KeyBlob>) -> Result<Arc<ClientConfig>, Event> {
        let unusable = |error: &dyn std::fmt::Display| failed("state-damaged", &error.to_string());
        let thumbprint = chain.thumbprint().map_err(|error| unusable(&error))?;
        if let Some(session) = &self.session
            && session.thumbprint == thumbprint
        {
            return Ok(Arc::clone(&session.tls));
        }
        let site = self.site.as_ref().ok_or_else(|| failed("site-missing", &"no site"))?;
        let tls = tls::mutual(&site.trust, chain, TpmKey::new(self.tpm.clone(), Arc::clone(key)))
            .map_err(|error| unusable(&error))?;
        self.session = Some(Session { thumbprint, tls: Arc::clone(&tls) });
        Ok(tls)
    }

    /// The connector as this certificate sees it.
    pub(super) fn session_for(
        &mut self,
        chain: &Chain,
        key: &Arc<KeyBlob>,
    ) -> Result<DeviceApi, Event> {
        let tls = self.session(chain, key)?;
        let site = self.site.as_ref().ok_or_else(|| failed("site-missing", &"no site"))?;
        Ok(DeviceApi::new(site.site.connector.device_url.clone(), tls))
    }

    /// The connector as the certificate on trial sees it.
    fn connector(&mut self) -> Result<(Chain, DeviceApi), Event> {
        let (chain, tls) = self.mutual_tls()?;
        let site = self.site.as_ref().ok_or_else(|| failed("site-missing", &"no site"))?;
        Ok((chain, DeviceApi::new(site.site.connector.device_url.clone(), tls)))
    }

    fn take_time(&mut self, time: u64, server_certificate: Validity) -> Result<(), Event> {
        match self.clock.synchronise(time, server_certificate) {
            Ok(last_seen) => {
                if self.held.last_seen != Some(last_seen)
                    && let Some(store) = &mut self.store
                {
                    store.put_last_seen(last_seen)?;
                    self.held.last_seen = Some(last_seen);
                }
            }
            Err(error) => tracing::warn!("{error}"),
        }
        Ok(())
    }

    pub(super) async fn promote(&mut self) -> Event {
        self.try_promote().await.unwrap_or_else(|event| event)
    }

    async fn try_promote(&mut self) -> Result<Event, Event> {
        let Some(store) = &mut self.store else {
            return Err(failed("not-prepared", &"nothing is prepared yet"));
        };
        store.promote()?;
        let promoted = self.held.pending.take().and_then(|pending| {
            let chain = pending.chain?;
            Some(Identity { key: pending.key, chain })
        });
        let Some(identity) = promoted else {
            return Err(failed("not-prepared", &"no certificate is held"));
        };
        let key = Arc::new(KeyBlob::from_pem(&identity.key)?);
        let connector = self.session_for(&identity.chain, &key)?;
        self.hand_out(key, &identity.chain, connector)?;
        let serial = identity.chain.serial();
        let arguments: [&[u8]; 1] = [serial.as_bytes()];
        self.recorder.done(ACTIVATE, identity.chain.device_id(), &arguments).await;
        self.held.active = Some(identity);
        Ok(Event::Promoted)
    }

    /// Lets other services use the identity.
    pub(super) fn hand_out(
        &self,
        key: Arc<KeyBlob>,
        chain: &Chain,
        connector: DeviceApi,
    ) -> Result<(), Event> {
        let pem = chain.to_pem().map_err(|error| failed("state-damaged", &error))?;
        let trust = self.site.as_ref().map(|site| site.trust.clone());
        let site = self.site.as_ref().map(|site| Arc::new(site.as_told()));
        self.keyring.update(|keys| {
            keys.trust = trust;
            keys.site = site;
            keys.device = Some(key);
            keys.chain = Some(pem.into());
            keys.connector = Some(connector);
        });
        Ok(())
    }
}

/// Whether the server speaks of this device, and how.
fn judge(report: &SelfReport, chain: &Chain) -> Event {
    if report.device_id != chain.device_id() {
        let text = format!(
            "the server takes this device for {}, its certificate says {}; see the connector's \
             events",
            report.device_id,
            chain.device_id()
        );
        return Event::Refused {
            problem: Problem::new("device-mismatch", text),
            retry_after: None,
        };
    }
    if report.state == WELCOME {
        return Event::Confirmed;
    }
    let text = format!("the registry holds this device as {:?}; see the connector", report.state);
    Event::Refused { problem: Problem::new("not-active", text), retry_after: None }
}
