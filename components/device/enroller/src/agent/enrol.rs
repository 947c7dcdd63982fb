//! One attempt to enrol.

use std::sync::Arc;

use holdfast_attestation::pairing::PairingCode;
use holdfast_tpm::{KeyBlob, SignatureMode, Tpm};
use rustls::ClientConfig;

use crate::certificate::Chain;
use crate::est::{Decision, Enrolment, Route};
use crate::milestone::{self, Milestone};
use crate::pairing;
use crate::recorder::ENROL;
use crate::state::{Event, Problem};
use crate::store::Pending;
use crate::tls;
use crate::tpm_key::TpmKey;
use crate::trust::SiteTrust;

use super::Agent;
use super::problems::failed;

impl Agent {
    pub(super) async fn enrol(&mut self, route: Route) -> Event {
        self.try_enrol(route).await.unwrap_or_else(|event| event)
    }

    async fn try_enrol(&mut self, route: Route) -> Result<Event, Event> {
        let (Some(site), Some(device)) = (self.site.clone(), self.device.clone()) else {
            return Err(failed("not-prepared", &"nothing is prepared yet"));
        };
        let pairing_code = match route {
            Route::Enrol => self.pairing_code()?,
            Route::Renew => None,
        };
        let with_code = pairing_code.is_some();
        let device_key = self.pending_key().await?;
        let enrolment = Enrolment {
            server: site.site.connector.enrol_url.clone(),
            route,
            tls: self.enrolment_tls(route, &site.trust)?,
            tpm: self.tpm.clone(),
            edge_id: device.edge_id,
            ek: device.ek,
            ak: device.ak,
            device_key,
            pairing_code,
        };
        match enrolment.run().await? {
            Decision::Issued(chain) => {
                site.trust.check_issued(&chain).map_err(|error| Event::Refused {
                    problem: Problem::new(
                        "certificate-not-trusted",
                        format!("{error}; site.toml must come from the connector that enrols"),
                    ),
                    retry_after: None,
                })?;
                self.keep(chain).await
            }
            Decision::Refused(rejection) => {
                self.last_request_id.clone_from(&rejection.request_id);
                if !rejection.waits_for_approval() {
                    self.code_refused = with_code;
                }
                let without_certificate = route == Route::Renew && rejection.may_enrol_instead();
                Ok(match rejection.into_event() {
                    Event::Refused { problem, .. } if without_certificate => {
                        Event::CertificateRejected(problem)
                    }
                    event => event,
                })
            }
        }
    }

    /// The code, before the first enrolment. A cloud that knows the device's TPM already, which a
    /// lost state volume makes possible, has no use for it any more: after a refusal with the code
    /// comes an attempt without it.
    fn pairing_code(&self) -> Result<Option<PairingCode>, Event> {
        if self.held.active.is_some() || self.code_refused {
            return Ok(None);
        }
        Ok(pairing::read(self.options.credentials.as_deref())?)
    }

    fn enrolment_tls(&self, route: Route, trust: &SiteTrust) -> Result<Arc<ClientConfig>, Event> {
        let tls = match (route, &self.held.active) {
            (Route::Enrol, _) => tls::anonymous(trust),
            (Route::Renew, Some(active)) => {
                let key = Arc::new(KeyBlob::from_pem(&active.key)?);
                let key = TpmKey::new(self.tpm.clone(), key);
                tls::mutual_without_resumption(trust, &active.chain, key)
            }
            (Route::Renew, None) => {
                return Err(failed("not-prepared", &"no certificate is held"));
            }
        };
        tls.map_err(|error| failed("tls-failed", &error))
    }

    /// The key to be certified: the one that is waiting for its certificate, or a new one.
    async fn pending_key(&mut self) -> Result<Arc<KeyBlob>, Event> {
        match &self.held.pending {
            Some(Pending { key, chain: None }) => {
                return Ok(Arc::new(KeyBlob::from_pem(key)?));
            }
            // A key whose certificate did not work is not tried twice.
            Some(_) => self.discard_pending()?,
            None => {}
        }
        let forced = self.options.signature_mode.forced();
        let blob: KeyBlob = self.tpm.ask(move |tpm| make_device_key(tpm, forced)).await?;
        let key = blob.to_pem()?;
        let Some(store) = &mut self.store else {
            return Err(failed("not-prepared", &"nothing is prepared yet"));
        };
        store.put_pending_key(&key)?;
        self.held.pending = Some(Pending { key, chain: None });
        Ok(Arc::new(blob))
    }

    /// Pins the site at the first certificate, then stores the certificate.
    async fn keep(&mut self, chain: Chain) -> Result<Event, Event> {
        let (Some(site), Some(device), Some(store)) = (&self.site, &self.device, &mut self.store)
        else {
            return Err(failed("not-prepared", &"nothing is prepared yet"));
        };
        if self.held.active.is_none() {
            let pin = site.pin(&device.ek_sha256);
            store.put_pin(&pin)?;
            self.held.pin = Some(pin);
        }
        store.put_pending_certificate(&chain)?;
        self.has_issued = true;
        let serial = chain.serial();
        self.recorder.done(ENROL, chain.device_id(), &[serial.as_bytes()]).await;
        milestone::print(Milestone::Enrolled { device_id: chain.device_id() });
        if let Some(pending) = &mut self.held.pending {
            pending.chain = Some(chain);
        }
        Ok(Event::Issued)
    }

    pub(super) fn discard_pending(&mut self) -> Result<(), Event> {
        if let Some(store) = &mut self.store {
            store.discard_pending()?;
        }
        self.held.pending = None;
        Ok(())
    }
}

fn make_device_key(tpm: &Tpm, forced: Option<SignatureMode>) -> Result<KeyBlob, Event> {
    Ok(tpm.create_device_key(forced)?)
}
