//! The client's side.

use zbus::proxy;

/// Proxy for `org.holdfast.Identity1` on the system bus.
#[proxy(
    interface = "org.holdfast.Identity1",
    default_service = "org.holdfast.Identity1",
    default_path = "/org/holdfast/Identity1"
)]
pub trait Identity1 {
    /// Signs a digest with the key of this name.
    fn sign(&self, key: &str, scheme: &str, digest: &[u8]) -> zbus::Result<Vec<u8>>;

    /// `TPMT_PUBLIC` of a key, and the TPM's statement about it with its signature.
    #[allow(clippy::type_complexity)]
    fn certify_key(
        &self,
        key: &str,
        qualifying: &[u8],
    ) -> zbus::Result<(Vec<u8>, Vec<u8>, Vec<u8>)>;

    /// The device API's origin, the trusted roots as PEM, and the time in Unix seconds.
    fn get_connector(&self) -> zbus::Result<(String, String, u64)>;

    /// The certificate and its issuers, as PEM.
    fn get_certificate_chain(&self) -> zbus::Result<String>;

    /// Seals bytes under this TPM in the caller's namespace.
    fn seal(&self, name: &str, plaintext: &[u8]) -> zbus::Result<Vec<u8>>;

    /// Opens what `seal` made.
    fn unseal(&self, name: &str, sealed: &[u8]) -> zbus::Result<Vec<u8>>;

    /// Replaces the certificate with one for a new key; the new serial number.
    fn renew(&self) -> zbus::Result<String>;

    /// Enrols anew by endorsement key and quote; the new serial number.
    fn re_enroll(&self) -> zbus::Result<String>;

    /// A token for an audience, and its end in Unix seconds.
    fn get_token(&self, audience: &str) -> zbus::Result<(String, u64)>;

    /// The enroller's checks of itself, as JSON.
    fn check(&self) -> zbus::Result<String>;

    /// Name of a [`super::State`].
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Name of the device in the field.
    #[zbus(property)]
    fn edge_id(&self) -> zbus::Result<String>;

    /// Id that the cloud gave the device.
    #[zbus(property)]
    fn device_id(&self) -> zbus::Result<String>;

    /// SHA-256 of the EK's SPKI, hexadecimal.
    #[zbus(property)]
    fn ek_sha256(&self) -> zbus::Result<String>;

    /// Tenant of the site.
    #[zbus(property)]
    fn tenant(&self) -> zbus::Result<String>;

    /// End of the certificate, Unix seconds, 0 for none.
    #[zbus(property)]
    fn certificate_expires(&self) -> zbus::Result<u64>;

    /// Next renewal, Unix seconds, 0 for none.
    #[zbus(property)]
    fn next_renewal(&self) -> zbus::Result<u64>;

    /// `tpm-pss`, `software-pss` or empty.
    #[zbus(property)]
    fn signature_mode(&self) -> zbus::Result<String>;

    /// What went wrong last and what to do next.
    #[zbus(property)]
    fn last_error(&self) -> zbus::Result<String>;

    /// The same as a stable code.
    #[zbus(property)]
    fn last_error_code(&self) -> zbus::Result<String>;

    /// Next attempt, Unix seconds, 0 for none.
    #[zbus(property)]
    fn next_attempt(&self) -> zbus::Result<u64>;

    /// The device went from one state to the next.
    #[zbus(signal, name = "StateChanged")]
    fn state_transition(&self, old: String, new: String) -> zbus::Result<()>;

    /// A new certificate is in use.
    #[zbus(signal)]
    fn certificate_renewed(&self, serial: String) -> zbus::Result<()>;
}
