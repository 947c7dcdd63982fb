//! Reading what there is: TPM, Edge ID, stored identity; and making the keys that never change.

use std::sync::Arc;

use holdfast_attestation::ek::ek_sha256;
use holdfast_attestation::tpm::Public;
use holdfast_tpm::{EkInfo, KeyBlob, Tpm, TpmError};

use crate::edge_id;
use crate::state::{Event, Holding, Problem};
use crate::store::{Held, Pending};
use crate::tpm_owner::JobError;

use super::problems::failed;
use super::{Agent, DeviceContext};

impl Agent {
    pub(super) async fn prepare(&mut self) -> Event {
        match self.try_prepare().await {
            Ok(holding) => Event::Prepared(holding),
            Err(event) => event,
        }
    }

    async fn try_prepare(&mut self) -> Result<Holding, Event> {
        let site = self.site.clone().ok_or_else(|| failed("site-missing", &"no site"))?;
        edge_id::check_machine(&self.options.machine_id)?;
        let edge_id = edge_id::read(&site.site.edge_id_source, &self.places())?;
        let ek = self.tpm.ask(|tpm| tpm.ek().map_err(Event::from)).await?;
        let ek_sha256 = ek_fingerprint(&ek)?;

        self.held = self.open_store()?;
        if let Some(last_seen) = self.held.last_seen {
            self.clock.remember(last_seen);
        }
        if let Some(pin) = self.held.pin.clone() {
            if pin.ek_sha256 != ek_sha256 {
                let text = format!(
                    "the identity in {} was made with TPM {}, this device has TPM {ek_sha256}; put \
                     the disk back into its device, or erase the state folder to enrol this one",
                    self.options.state.display(),
                    pin.ek_sha256,
                );
                return Err(Event::Broken(Problem::new("foreign-tpm", text)));
            }
            if self.holds_certificate()
                && let Some(problem) = site.contradicts(&pin, &self.held.roots)
            {
                self.leave_former_site(&site, &pin, problem).await?;
            }
        }
        self.trust_roots().map_err(|error| failed("site-invalid", &error))?;
        let ak = self.permanent_key(PermanentKey::Attestation).await?;
        let audit_key = self.permanent_key(PermanentKey::Audit).await?;
        let attestation = Arc::clone(&ak);
        self.device = Some(DeviceContext { edge_id, ek: Arc::new(ek), ek_sha256, ak });
        self.keyring.update(|keys| {
            keys.attestation = Some(attestation);
            keys.audit = Some(audit_key);
        });
        self.choose_identity().await
    }

    fn open_store(&mut self) -> Result<Held, Event> {
        let path = self.options.state.display();
        let store = match &mut self.store {
            Some(store) => store,
            None => self.store.insert(
                (self.open_store)()
                    .map_err(|error| failed("state-unwritable", &format!("{path}: {error}")))?,
            ),
        };
        let held = store.load()?;
        for repair in &held.repairs {
            tracing::warn!(folder = %path, "repaired after an interruption: {repair}");
        }
        Ok(held)
    }

    fn holds_certificate(&self) -> bool {
        let pending = self.held.pending.as_ref().is_some_and(|pending| pending.chain.is_some());
        pending || self.held.active.is_some()
    }

    /// Loads a key that is made once, or makes it.
    async fn permanent_key(&mut self, kind: PermanentKey) -> Result<Arc<KeyBlob>, Event> {
        let stored = match kind {
            PermanentKey::Attestation => &self.held.ak,
            PermanentKey::Audit => &self.held.audit_key,
        };
        if let Some(pem) = stored {
            return self.usable_key(pem.clone()).await;
        }
        let blob = self.tpm.ask(move |tpm| kind.make(tpm).map_err(Event::from)).await?;
        let pem = blob.to_pem()?;
        if let Some(store) = &mut self.store {
            match kind {
                PermanentKey::Attestation => store.put_ak(&pem)?,
                PermanentKey::Audit => store.put_audit_key(&pem)?,
            }
        }
        match kind {
            PermanentKey::Attestation => self.held.ak = Some(pem),
            PermanentKey::Audit => self.held.audit_key = Some(pem),
        }
        Ok(Arc::new(blob))
    }

    /// Proves that a stored key belongs to this TPM by loading it.
    async fn usable_key(&self, pem: String) -> Result<Arc<KeyBlob>, Event> {
        let blob = Arc::new(KeyBlob::from_pem(&pem)?);
        let loaded = Arc::clone(&blob);
        let load = move |tpm: &Tpm| Ok(tpm.load(&loaded).map(drop)?);
        self.tpm.ask(load).await.map_err(|error| match error {
            JobError::Tpm(error @ TpmError::Command { .. }) => failed(
                "key-unusable",
                &format!(
                    "a key in {} does not load in this TPM: {error}; it was made by another TPM, \
                     or this one was cleared; erase the state folder to enrol anew",
                    self.options.state.display()
                ),
            ),
            JobError::Tpm(error) => error.into(),
            JobError::Gone(error) => error.into(),
        })?;
        Ok(blob)
    }

    /// Decides which of the stored identities is worth trying.
    async fn choose_identity(&mut self) -> Result<Holding, Event> {
        let active = self.usable_active().await?;
        let pending = self.usable_pending().await?;
        Ok(match (active, pending) {
            (true, true) => Holding::Renewing,
            (true, false) => Holding::Active,
            (false, true) => Holding::Pending,
            (false, false) => Holding::Nothing,
        })
    }

    async fn usable_active(&mut self) -> Result<bool, Event> {
        let Some(active) = self.held.active.clone() else {
            return Ok(false);
        };
        let key = self.usable_key(active.key).await?;
        if active.chain.not_after() < self.clock.now() {
            tracing::warn!("the certificate has expired; the device enrols anew");
            return Ok(false);
        }
        let connector = self.session_for(&active.chain, &key)?;
        self.hand_out(key, &active.chain, connector)?;
        Ok(true)
    }

    async fn usable_pending(&mut self) -> Result<bool, Event> {
        let Some(Pending { key, chain: Some(chain) }) = self.held.pending.clone() else {
            return Ok(false);
        };
        if chain.not_after() < self.clock.now() {
            self.discard_pending()?;
            return Ok(false);
        }
        self.usable_key(key).await?;
        Ok(true)
    }
}

#[derive(Debug, Clone, Copy)]
enum PermanentKey {
    Attestation,
    Audit,
}

impl PermanentKey {
    fn make(self, tpm: &Tpm) -> Result<KeyBlob, TpmError> {
        match self {
            Self::Attestation => tpm.create_ak(),
            Self::Audit => tpm.create_ecdsa_key(),
        }
    }
}

fn ek_fingerprint(ek: &EkInfo) -> Result<String, Event> {
    let unusable = |error: &dyn std::fmt::Display| {
        failed("tpm-failed", &format!("the TPM's endorsement key cannot be used: {error}"))
    };
    let public = Public::parse(&ek.public).map_err(|error| unusable(&error))?;
    let spki = public.to_spki_der().map_err(|error| unusable(&error))?;
    Ok(hex::encode(ek_sha256(&spki)))
}
