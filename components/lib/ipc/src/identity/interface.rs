//! The service's side: callers are authorized, arguments checked and answers recorded here, so
//! that a backend only does the work.

use zbus::{Connection, interface, message::Header, object_server::SignalEmitter};
use zeroize::Zeroizing;

use super::{
    BUS_NAME, IdentityBackend, OBJECT_PATH, StatusPublisher, publish::Changes, seal_scope,
};
use crate::{
    Audience, Call, CallError, ErrorKind, Guard, IdentityPolicy, Name, Role, allow_list::SignScheme,
};

pub(super) use Identity1Signals as Signals;

/// Sealed bytes are a `TPM2B_PUBLIC`, a `TPM2B_PRIVATE` and a header; more than this is not ours.
const MAX_SEALED_BYTES: usize = 8192;

/// `TPM2B_DATA` holds a `TPMU_HA`, whose longest member is a SHA-512 (TPM 2.0 part 2, 10.4.3).
const MAX_QUALIFYING_BYTES: usize = 64;

/// The object at [`OBJECT_PATH`].
pub struct Identity1<B: IdentityBackend> {
    backend: B,
    guard: Guard,
    policy: IdentityPolicy,
    status: StatusPublisher,
}

/// Puts the object on the bus, takes its name and announces changes of the status from now on.
pub async fn serve<B: IdentityBackend>(
    connection: &Connection,
    backend: B,
    guard: Guard,
    policy: IdentityPolicy,
    status: StatusPublisher,
    changes: Changes,
) -> zbus::Result<()> {
    let object = Identity1 { backend, guard, policy, status };
    connection.object_server().at(OBJECT_PATH, object).await?;
    connection.request_name(BUS_NAME).await?;
    tokio::spawn(changes.announce(connection.clone()));
    Ok(())
}

fn invalid(message: String) -> CallError {
    CallError::new(ErrorKind::InvalidArgs, message)
}

#[interface(name = "org.holdfast.Identity1", introspection_docs = false)]
impl<B: IdentityBackend> Identity1<B> {
    #[zbus(out_args("signature"))]
    async fn sign(
        &self,
        key: String,
        scheme: String,
        digest: Vec<u8>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<u8>, CallError> {
        let arguments: [&[u8]; 3] = [key.as_bytes(), scheme.as_bytes(), &digest];
        let call = Call { action: "identity.sign", target: &key, arguments: &arguments };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let parsed = Name::new(key.as_str()).and_then(|key| Ok((key, SignScheme::parse(&scheme)?)));
        let decision = match &parsed {
            Ok((key, scheme)) => self.policy.may_sign(&caller, key, *scheme),
            // A caller who may use no key learns nothing from his arguments.
            Err(_) => caller.require(Role::Viewer),
        };
        let operation = async {
            let (key, scheme) = parsed.map_err(invalid)?;
            if digest.len() != scheme.digest_len() {
                return Err(invalid(format!(
                    "the digest has {} bytes: {scheme} signs {}",
                    digest.len(),
                    scheme.digest_len()
                )));
            }
            self.backend.sign(&key, scheme, &digest).await
        };
        if decision.is_ok() && self.policy.is_log_keeper(&caller, &key) {
            return operation.await;
        }
        self.guard.answer(&call, &caller, decision, operation).await
    }

    #[zbus(out_args("public", "attest", "signature"))]
    async fn certify_key(
        &self,
        key: String,
        qualifying: Vec<u8>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>), CallError> {
        let arguments: [&[u8]; 2] = [key.as_bytes(), &qualifying];
        let call = Call { action: "identity.certify", target: &key, arguments: &arguments };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let parsed = Name::new(key.as_str());
        let decision = match &parsed {
            Ok(key) => self.policy.may_certify(&caller, key),
            Err(_) => caller.require(Role::Viewer),
        };
        let operation = async {
            let key = parsed.map_err(invalid)?;
            if qualifying.len() > MAX_QUALIFYING_BYTES {
                return Err(invalid(format!(
                    "qualifying has {} bytes: at most {MAX_QUALIFYING_BYTES} fit",
                    qualifying.len()
                )));
            }
            self.backend.certify(&key, &qualifying).await
        };
        let made = self.guard.answer(&call, &caller, decision, operation).await?;
        Ok((made.public, made.attest, made.signature))
    }

    #[zbus(out_args("url", "roots", "time"))]
    async fn get_connector(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(String, String, u64), CallError> {
        let call = Call { action: "identity.connector", target: "", arguments: &[] };
        let caller = self.guard.caller(connection, &header, &call).await?;
        self.guard.admit_reader(&call, &caller, self.policy.may_read(&caller)).await?;
        let found = self.backend.connector().await?;
        Ok((found.url, found.roots, found.time))
    }

    #[zbus(out_args("pem"))]
    async fn get_certificate_chain(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let call = Call { action: "identity.certificate", target: "", arguments: &[] };
        let caller = self.guard.caller(connection, &header, &call).await?;
        self.guard.admit_reader(&call, &caller, self.policy.may_read(&caller)).await?;
        self.backend.certificate_chain().await
    }

    #[zbus(out_args("sealed"))]
    async fn seal(
        &self,
        name: String,
        plaintext: Vec<u8>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<u8>, CallError> {
        let plaintext = Zeroizing::new(plaintext);
        // The plaintext stays out of the record: its digest would give a short secret away.
        let arguments: [&[u8]; 1] = [name.as_bytes()];
        let call = Call { action: "identity.seal", target: &name, arguments: &arguments };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let owner = self.policy.may_seal(&caller);
        let decision = owner.as_ref().map(|_| ()).map_err(Clone::clone);
        let operation = async {
            let owner = owner.map_err(|why| CallError::new(ErrorKind::AccessDenied, why))?;
            let name = Name::new(name.as_str()).map_err(invalid)?;
            self.backend.seal(seal_scope::wrap(&owner, &name, &plaintext)?).await
        };
        self.guard.answer(&call, &caller, decision, operation).await
    }

    #[zbus(out_args("plaintext"))]
    async fn unseal(
        &self,
        name: String,
        sealed: Vec<u8>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<u8>, CallError> {
        let arguments: [&[u8]; 2] = [name.as_bytes(), &sealed];
        let call = Call { action: "identity.unseal", target: &name, arguments: &arguments };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let owner = self.policy.may_seal(&caller);
        let decision = owner.as_ref().map(|_| ()).map_err(Clone::clone);
        let operation = async {
            let owner = owner.map_err(|why| CallError::new(ErrorKind::AccessDenied, why))?;
            let name = Name::new(name.as_str()).map_err(invalid)?;
            if sealed.is_empty() || sealed.len() > MAX_SEALED_BYTES {
                return Err(invalid(format!(
                    "{} bytes are not sealed bytes: 1 to {MAX_SEALED_BYTES} can be",
                    sealed.len()
                )));
            }
            let wrapped = self.backend.unseal(&sealed).await?;
            seal_scope::unwrap(&owner, &name, &wrapped).map(|plaintext| plaintext.to_vec())
        };
        self.guard.answer(&call, &caller, decision, operation).await
    }

    #[zbus(out_args("serial"))]
    async fn renew(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let call = Call { action: "identity.renew", target: "", arguments: &[] };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let decision = caller.require(Role::Operator);
        self.guard.change(&call, &caller, decision, self.backend.renew()).await
    }

    #[zbus(out_args("serial"))]
    async fn re_enroll(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let call = Call { action: "identity.re-enroll", target: "", arguments: &[] };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let decision = caller.require(Role::Operator);
        self.guard.change(&call, &caller, decision, self.backend.re_enroll()).await
    }

    #[zbus(out_args("token", "expires"))]
    async fn get_token(
        &self,
        audience: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(String, u64), CallError> {
        let arguments: [&[u8]; 1] = [audience.as_bytes()];
        let call = Call { action: "identity.token", target: &audience, arguments: &arguments };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let parsed = Audience::new(audience.as_str());
        let decision = match &parsed {
            Ok(audience) => self.policy.may_have_token(&caller, audience),
            Err(_) => caller.require(Role::Viewer),
        };
        let operation = async {
            let audience = parsed.map_err(invalid)?;
            self.backend.token(&audience).await.map(|token| (token.token, token.expires))
        };
        self.guard.answer(&call, &caller, decision, operation).await
    }

    #[zbus(out_args("json"))]
    async fn check(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let call = Call { action: "identity.check", target: "", arguments: &[] };
        self.guard.authorize(connection, &header, Role::Viewer, &call).await?;
        self.backend.check().await
    }

    #[zbus(property)]
    fn state(&self) -> String {
        self.status.read(|status| status.state.as_str().to_owned())
    }

    #[zbus(property)]
    fn edge_id(&self) -> String {
        self.status.read(|status| status.edge_id.clone())
    }

    #[zbus(property)]
    fn device_id(&self) -> String {
        self.status.read(|status| status.device_id.clone())
    }

    #[zbus(property)]
    fn ek_sha256(&self) -> String {
        self.status.read(|status| status.ek_sha256.clone())
    }

    #[zbus(property)]
    fn tenant(&self) -> String {
        self.status.read(|status| status.tenant.clone())
    }

    #[zbus(property)]
    fn certificate_expires(&self) -> u64 {
        self.status.read(|status| status.certificate_expires)
    }

    #[zbus(property)]
    fn next_renewal(&self) -> u64 {
        self.status.read(|status| status.next_renewal)
    }

    #[zbus(property)]
    fn signature_mode(&self) -> String {
        self.status.read(|status| status.signature_mode.as_str().to_owned())
    }

    #[zbus(property)]
    fn last_error(&self) -> String {
        self.status.read(|status| status.last_error.clone())
    }

    #[zbus(property)]
    fn last_error_code(&self) -> String {
        self.status.read(|status| status.last_error_code.clone())
    }

    #[zbus(property)]
    fn next_attempt(&self) -> u64 {
        self.status.read(|status| status.next_attempt)
    }

    #[zbus(signal, name = "StateChanged")]
    async fn state_transition(
        emitter: &SignalEmitter<'_>,
        old: &str,
        new: &str,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn certificate_renewed(emitter: &SignalEmitter<'_>, serial: &str) -> zbus::Result<()>;
}
