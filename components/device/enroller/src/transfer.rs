//! Whether a device may move to another site: the cloud to which it belongs lets it go.

use holdfast_attestation::hash::sha256;
use holdfast_site::Transfer;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::store::Pin;

/// Why a transfer does not let this device go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTransferred {
    /// It is about another tenant's devices.
    #[error("it lets devices of tenant {named} go, this one belongs to {own}")]
    OtherTenant {
        /// Whom the transfer names.
        named: String,
        /// To whom the device belongs.
        own: String,
    },
    /// It is about another site.
    #[error("it leads to the site with SHA-256 {named}, the site here has {found}")]
    OtherSite {
        /// What the transfer names.
        named: String,
        /// The site configuration on the boot partition.
        found: String,
    },
    /// A root that never vouched for this device's cloud.
    #[error("the root {0} that signed it is not one that this device trusts")]
    OtherRoot(String),
    /// The signature is of something else, or by another key.
    #[error("its signature is not by the key of its root")]
    Signature,
}

/// What a device is bound to, and where it is asked to go.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// What the first enrolment pinned.
    pub pin: &'a Pin,
    /// SHA-256 of the new site configuration, hexadecimal.
    pub site_sha256: &'a str,
    /// SHA-256 of roots that took over from the pinned ones, hexadecimal.
    pub successors: &'a [String],
}

impl Move<'_> {
    /// Checks that a transfer allows the move.
    pub fn check(
        &self,
        transfer: &Transfer,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), NotTransferred> {
        if transfer.tenant.as_str() != self.pin.tenant {
            return Err(NotTransferred::OtherTenant {
                named: transfer.tenant.to_string(),
                own: self.pin.tenant.clone(),
            });
        }
        let named = hex::encode(transfer.site_sha256);
        if named != self.site_sha256 {
            let found = self.site_sha256.to_owned();
            return Err(NotTransferred::OtherSite { named, found });
        }
        let root = hex::encode(sha256(&[transfer.root.der()]));
        if !self.pin.anchors_sha256.contains(&root) && !self.successors.contains(&root) {
            return Err(NotTransferred::OtherRoot(root));
        }
        let der = CertificateDer::from(transfer.root.der());
        let certificate = EndEntityCert::try_from(&der).map_err(|_| NotTransferred::Signature)?;
        let message = transfer.signed();
        let signed = algorithms.all.iter().any(|algorithm| {
            certificate.verify_signature(*algorithm, &message, &transfer.signature).is_ok()
        });
        if signed { Ok(()) } else { Err(NotTransferred::Signature) }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SigningKey as _};

    use super::*;

    struct Root {
        pem: String,
        key: KeyPair,
    }

    fn root() -> Root {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Root { pem: params.self_signed(&key).unwrap().pem().trim_end().to_owned(), key }
    }

    impl Root {
        fn let_go(&self, tenant: &str, site_sha256: [u8; 32]) -> Transfer {
            let tenant = tenant.parse().unwrap();
            let signature = self.key.sign(&Transfer::message(&tenant, &site_sha256)).unwrap();
            Transfer { tenant, site_sha256, root: self.pem.parse().unwrap(), signature }
        }

        fn sha256(&self) -> String {
            let transfer = self.let_go("any", [0; 32]);
            hex::encode(sha256(&[transfer.root.der()]))
        }
    }

    #[test]
    fn only_the_cloud_of_the_device_lets_it_go_and_only_there() {
        let (own, successor, stranger) = (root(), root(), root());
        let pin = Pin {
            tenant: "acme".to_owned(),
            anchors_sha256: vec![own.sha256()],
            site_sha256: "00".repeat(32),
            ek_sha256: "00".repeat(32),
        };
        let site_sha256 = hex::encode([5; 32]);
        let successors = [successor.sha256()];
        let the_move = Move { pin: &pin, site_sha256: &site_sha256, successors: &successors };
        let mut edited = own.let_go("acme", [6; 32]);
        edited.site_sha256 = [5; 32];
        let mut renamed = own.let_go("other", [5; 32]);
        renamed.tenant = "acme".parse().unwrap();
        let mut cut = own.let_go("acme", [5; 32]);
        cut.signature.pop();
        let table = [
            ("good", own.let_go("acme", [5; 32]), ""),
            ("by a root that took over", successor.let_go("acme", [5; 32]), ""),
            ("of another tenant", own.let_go("other", [5; 32]), "belongs to acme"),
            ("to another site", own.let_go("acme", [6; 32]), "the site here has"),
            ("by a stranger", stranger.let_go("acme", [5; 32]), "not one that this device trusts"),
            ("to another site, edited", edited, "not by the key"),
            ("of another tenant, edited", renamed, "not by the key"),
            ("with a cut signature", cut, "not by the key"),
        ];
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        for (name, transfer, part) in table {
            match the_move.check(&transfer, &algorithms) {
                Ok(()) => assert_eq!(part, "", "{name}"),
                Err(error) => {
                    assert!(
                        !part.is_empty() && error.to_string().contains(part),
                        "{name}: {error}"
                    );
                }
            }
        }
    }
}
