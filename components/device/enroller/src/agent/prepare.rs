//! Reading what there is: TPM, Edge ID, stored identity; and making the keys that never change.

use std::sync::Arc;

use holdfast_attestation::ek::ek_sha256;
use holdfast_attestation::tpm::Public;
use holdfast_tpm::{EkInfo, KeyBlob, Tpm, TpmError};

use crate::edge_id;
use crate::state::{Event, Holding, Problem};
use crate::store::Held;
use crate::tpm_owner::TpmOwner;

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
        let edge_id = edge_id::read(&site.site.edge_id_source, &self.places())?;
        let tpm = self.open_tpm().await?;
        let ek = tpm.ask(Tpm::ek).await??;
        let ek_sha256 = ek_fingerprint(&ek)?;

        self.held = self.open_store()?;
        if let Some(last_seen) = self.held.last_seen {
            self.clock.remember(last_seen);
        }
        if let Some(pin) = &self.held.pin {
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
                && let Some(problem) = site.contradicts(pin)
            {
                return Err(Event::Broken(problem));
            }
        }
        let ak = self.permanent_key(&tpm, PermanentKey::Attestation).await?;
        let audit_key = self.permanent_key(&tpm, PermanentKey::Audit).await?;
        self.device = Some(DeviceContext { edge_id, ek: Arc::new(ek), ek_sha256, ak });
        self.keyring.update(|keys| keys.audit = Some(audit_key));
        self.choose_identity(&tpm).await
    }

    async fn open_tpm(&mut self) -> Result<TpmOwner, Event> {
        if let Some(tpm) = &self.tpm {
            return Ok(tpm.clone());
        }
        let tpm = TpmOwner::open(self.options.tcti.clone()).await?;
        self.keyring.update(|keys| keys.tpm = Some(tpm.clone()));
        self.tpm = Some(tpm.clone());
        Ok(tpm)
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
    async fn permanent_key(
        &mut self,
        tpm: &TpmOwner,
        kind: PermanentKey,
    ) -> Result<Arc<KeyBlob>, Event> {
        let stored = match kind {
            PermanentKey::Attestation => &self.held.ak,
            PermanentKey::Audit => &self.held.audit_key,
        };
        if let Some(pem) = stored {
            return self.usable_key(tpm, pem.clone()).await;
        }
        let blob = tpm.ask(move |tpm| kind.make(tpm)).await??;
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
    async fn usable_key(&self, tpm: &TpmOwner, pem: String) -> Result<Arc<KeyBlob>, Event> {
        let blob = Arc::new(KeyBlob::from_pem(&pem)?);
        let loaded = Arc::clone(&blob);
        tpm.ask(move |tpm| tpm.load(&loaded).map(drop)).await?.map_err(|error| match error {
            TpmError::OutOfSlots { .. } => error.into(),
            _ => failed(
                "key-unusable",
                &format!(
                    "a key in {} does not load in this TPM: {error}; it was made by another TPM, \
                     or this one was cleared; erase the state folder to enrol anew",
                    self.options.state.display()
                ),
            ),
        })?;
        Ok(blob)
    }

    /// Decides which of the stored identities is worth trying.
    async fn choose_identity(&mut self, tpm: &TpmOwner) -> Result<Holding, Event> {
        let now = self.clock.now();
        if let Some(pending) = self.held.pending.clone()
            && let Some(chain) = &pending.chain
        {
            if chain.not_after() >= now {
                self.usable_key(tpm, pending.key).await?;
                return Ok(Holding::Pending);
            }
            self.discard_pending()?;
        }
        let Some(active) = self.held.active.clone() else {
            return Ok(Holding::Nothing);
        };
        let key = self.usable_key(tpm, active.key.clone()).await?;
        if active.chain.not_after() < now {
            tracing::warn!("the certificate has expired; the device enrols anew");
            return Ok(Holding::Nothing);
        }
        self.hand_out(key, &active.chain)?;
        Ok(Holding::Active)
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
