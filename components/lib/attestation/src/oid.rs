//! Object identifiers.

use const_oid::ObjectIdentifier;

/// PKCS #10 attribute `id-aa-attestation` (draft-ietf-lamps-csr-attestation).
pub const ID_AA_ATTESTATION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.59");

/// Attestation statement `tcg-attest-tpm-certify` (draft-ietf-lamps-csr-attestation, TPM appendix).
pub const TCG_ATTEST_TPM_CERTIFY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.20.1");

/// `rsaEncryption` (RFC 8017).
pub(crate) const RSA_ENCRYPTION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-ecPublicKey` (RFC 5480).
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// `secp256r1` (RFC 5480).
pub(crate) const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// `secp384r1` (RFC 5480).
pub(crate) const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// `secp521r1` (RFC 5480).
pub(crate) const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// An identifier below Holdfast's own arc, which comes from a random UUID (ITU-T X.667).
///
/// The arc has 128 bits. Most libraries parse arcs of 32 or 64 bits, so that these identifiers are
/// written from their BER contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HoldfastOid {
    text: &'static str,
    contents: [u8; 21],
}

macro_rules! holdfast_oid {
    ($last:literal) => {
        HoldfastOid {
            text: concat!("2.25.329800735698586629295641978511506172918.", $last),
            contents: [
                0x69, 0x83, 0xf0, 0x9d, 0xa7, 0xeb, 0xcf, 0xde, 0xe0, 0xc7, 0xa1, 0xa7, 0xb2, 0xc0,
                0x94, 0x8c, 0xc8, 0xf9, 0xd7, 0x76, $last,
            ],
        }
    };
}

/// Type of the device's information in a nonce request.
pub const NONCE_REQUEST_INFO: HoldfastOid = holdfast_oid!(1);
/// Type of the server's information in a nonce response.
pub const NONCE_RESPONSE_INFO: HoldfastOid = holdfast_oid!(2);
/// Attestation statement that holds a quote and the PCR values behind it.
pub const QUOTE_STATEMENT: HoldfastOid = holdfast_oid!(3);
/// Certificate policy: the key was proven to be in the device's TPM, and the boot was judged.
pub const POLICY_ATTESTED: HoldfastOid = holdfast_oid!(4);
/// Certificate policy: the device proved neither.
pub const POLICY_NOT_ATTESTED: HoldfastOid = holdfast_oid!(5);
/// Purpose of a certificate (extended key usage): the server's receipts of audit records.
pub const PURPOSE_AUDIT_RECEIPT: HoldfastOid = holdfast_oid!(6);
/// Purpose of a certificate (extended key usage): policies for devices.
pub const PURPOSE_POLICY: HoldfastOid = holdfast_oid!(7);

impl HoldfastOid {
    /// Dotted decimal.
    pub const fn as_str(&self) -> &'static str {
        self.text
    }

    /// The contents of the DER encoding, without tag and length.
    pub const fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// The DER encoding.
    pub fn to_der(&self) -> Vec<u8> {
        [&[0x06, 21], self.contents()].concat()
    }

    /// The DER value of an `extKeyUsage` extension (RFC 5280, 4.2.1.12) with this purpose alone.
    pub fn to_extended_key_usage_der(&self) -> Vec<u8> {
        [&[0x30, 23], self.to_der().as_slice()].concat()
    }

    /// The DER value of a `certificatePolicies` extension (RFC 5280, 4.2.1.4) with this policy.
    pub fn to_certificate_policies_der(&self) -> Vec<u8> {
        let oid = self.to_der();
        let information = [&[0x30, 23], oid.as_slice()].concat();
        [&[0x30, 25], information.as_slice()].concat()
    }
}

impl core::fmt::Display for HoldfastOid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text)
    }
}
