//! The connection to one TPM, and guards for what is loaded in it.

use std::cell::RefCell;
use std::str::FromStr;

use holdfast_attestation::tpm::Name;
use tss_esapi::Context;
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::SymmetricDefinition;
use tss_esapi::tcti_ldr::TctiNameConf;

use crate::TpmError;

/// A TPM, exclusively owned by this process' user of the connection.
///
/// It can be moved between threads but not shared; calls block for as long as the TPM takes.
#[derive(Debug)]
pub struct Tpm {
    context: RefCell<Context>,
}

impl Tpm {
    /// Connects to a TPM: `device:/dev/tpmrm0`, or `swtpm:host=127.0.0.1,port=2321` in tests.
    pub fn open(tcti: &str) -> Result<Self, TpmError> {
        let open = |source| TpmError::Open { tcti: tcti.to_owned(), source };
        let context = TctiNameConf::from_str(tcti).and_then(Context::new).map_err(open)?;
        Ok(Self { context: RefCell::new(context) })
    }

    /// Random bytes from the TPM's generator.
    pub fn random(&self, length: usize) -> Result<Vec<u8>, TpmError> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let wanted = (length - bytes.len()).min(32);
            let more = self.run("GetRandom", "the TPM", |tpm| tpm.get_random(wanted))?;
            if more.is_empty() {
                return Err(TpmError::check("GetRandom", "the TPM", "no bytes returned"));
            }
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }

    /// Runs one command without a session.
    pub(crate) fn run<T>(
        &self,
        operation: &'static str,
        object: &str,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, TpmError> {
        self.run_with((None, None), operation, object, command)
    }

    /// Runs one command whose first handle has an empty password.
    pub(crate) fn run_empty_auth<T>(
        &self,
        operation: &'static str,
        object: &str,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, TpmError> {
        self.run_with((Some(AuthSession::Password), None), operation, object, command)
    }

    pub(crate) fn run_with<T>(
        &self,
        sessions: (Option<AuthSession>, Option<AuthSession>),
        operation: &'static str,
        object: &str,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, TpmError> {
        self.context
            .borrow_mut()
            .execute_with_sessions((sessions.0, sessions.1, None), command)
            .map_err(|source| TpmError::command(operation, object, source))
    }

    /// Starts a session whose first parameters travel encrypted, under a secret (salt) that only
    /// the TPM holding `salt_key` can recover: a listener on the bus learns nothing.
    pub(crate) fn session(
        &self,
        kind: SessionType,
        salt_key: &Object<'_>,
    ) -> Result<Session<'_>, TpmError> {
        let object = salt_key.label();
        let started = self.run("StartAuthSession", object, |tpm| {
            let session = tpm.start_auth_session(
                Some(salt_key.handle()),
                None,
                None,
                kind,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )?;
            if let Some(session) = session {
                let (attributes, mask) = SessionAttributesBuilder::new()
                    .with_decrypt(true)
                    .with_encrypt(true)
                    .with_continue_session(true)
                    .build();
                tpm.tr_sess_set_attributes(session, attributes, mask)?;
            }
            Ok(session)
        })?;
        let session =
            started.ok_or_else(|| TpmError::check("StartAuthSession", object, "no session"))?;
        Ok(Session { tpm: self, session })
    }

    /// Takes charge of a transient object.
    pub(crate) fn guard(
        &self,
        handle: KeyHandle,
        label: &'static str,
    ) -> Result<Object<'_>, TpmError> {
        self.adopt(handle, label, Residence::Transient)
    }

    /// Takes charge of the local handle of a persistent object.
    pub(crate) fn guard_persistent(
        &self,
        handle: KeyHandle,
        label: &'static str,
    ) -> Result<Object<'_>, TpmError> {
        self.adopt(handle, label, Residence::Persistent)
    }

    fn adopt(
        &self,
        handle: KeyHandle,
        label: &'static str,
        residence: Residence,
    ) -> Result<Object<'_>, TpmError> {
        let slot = Slot { tpm: self, handle, label, residence };
        let name = self.run("GetName", label, |tpm| tpm.tr_get_name(handle.into()))?;
        let name = Name::from_bytes(name.value())
            .map_err(|error| TpmError::check("GetName", label, error))?;
        Ok(Object { slot, name })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Residence {
    Transient,
    Persistent,
}

/// An object loaded in the TPM; its slot is freed when this is dropped.
#[derive(Debug)]
pub struct Object<'t> {
    slot: Slot<'t>,
    name: Name,
}

impl Object<'_> {
    /// The object's Name: its cryptographic identity.
    pub fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn handle(&self) -> KeyHandle {
        self.slot.handle
    }

    pub(crate) fn label(&self) -> &'static str {
        self.slot.label
    }
}

#[derive(Debug)]
struct Slot<'t> {
    tpm: &'t Tpm,
    handle: KeyHandle,
    label: &'static str,
    residence: Residence,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut handle = ObjectHandle::from(self.handle);
        // Nothing can be done about a failure here; the next load reports the full TPM.
        let _ = self.tpm.run("FlushContext", self.label, |tpm| match self.residence {
            Residence::Transient => tpm.flush_context(handle),
            Residence::Persistent => tpm.tr_close(&mut handle),
        });
    }
}

/// An authorization session; flushed when this is dropped.
#[derive(Debug)]
pub(crate) struct Session<'t> {
    tpm: &'t Tpm,
    session: AuthSession,
}

impl Session<'_> {
    pub(crate) fn auth(&self) -> AuthSession {
        self.session
    }

    pub(crate) fn policy(&self) -> Result<PolicySession, TpmError> {
        PolicySession::try_from(self.session)
            .map_err(|source| TpmError::command("StartAuthSession", "policy session", source))
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let handle = ObjectHandle::from(SessionHandle::from(self.session));
        let _ = self.tpm.run("FlushContext", "session", |tpm| tpm.flush_context(handle));
    }
}

const _: fn() = || {
    fn sendable<T: Send>() {}
    sendable::<Tpm>();
};
