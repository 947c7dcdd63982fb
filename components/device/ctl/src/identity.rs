//! `holdfast identity`.

use holdfast_ipc::{CallError, ErrorKind, identity::Identity1Proxy};
use serde::Serialize;
use zbus::Connection;

use crate::{
    Code, Failure, Snapshot, bus,
    certificate::CertificateFacts,
    cli,
    status::now,
    text::{field, moment},
};

const LABEL: usize = 13;

#[derive(Serialize)]
struct Identity {
    edge_id: String,
    ek_sha256: String,
    device_id: String,
    tenant: String,
    state: String,
    signature_mode: String,
    certificate: Option<CertificateFacts>,
}

/// Prints what the cloud knows the device by.
pub(crate) async fn show(bus: &Connection, json: bool) -> Result<Code, Failure> {
    let Snapshot { edge_id, ek_sha256, device_id, tenant, state, signature_mode, .. } =
        bus::snapshot(bus).await?;
    let proxy = Identity1Proxy::new(bus).await?;
    let certificate = match proxy.get_certificate_chain().await {
        Ok(pem) => Some(
            CertificateFacts::of_chain(&pem).map_err(|error| Failure::new(Code::Failed, error))?,
        ),
        Err(error) => match CallError::from_reply(&error) {
            Some(CallError { kind: ErrorKind::NotReady, .. }) => None,
            _ => return Err(error.into()),
        },
    };
    let identity =
        Identity { edge_id, ek_sha256, device_id, tenant, state, signature_mode, certificate };
    if json {
        cli::print_json(&identity)?;
    } else {
        cli::print(&identity.block(now()))?;
    }
    Ok(Code::Ok)
}

impl Identity {
    fn block(&self, now: i64) -> String {
        let or_none =
            |text: &str| if text.is_empty() { "none yet".to_owned() } else { text.to_owned() };
        let mut lines = vec![
            field("Edge ID", LABEL, &or_none(&self.edge_id)),
            field("EK SHA-256", LABEL, &or_none(&self.ek_sha256)),
            field("Device ID", LABEL, &or_none(&self.device_id)),
            field("Tenant", LABEL, &or_none(&self.tenant)),
            field("State", LABEL, &self.state),
        ];
        let Some(certificate) = &self.certificate else {
            lines.push(field(
                "Certificate",
                LABEL,
                "none yet: `holdfast status` says how far it is",
            ));
            return lines.join("\n");
        };
        let assurance = match certificate.attested {
            Some(true) => "attested: the TPM proved key and boot to the issuer",
            Some(false) => "not attested: the issuer has only a proof of possession",
            None => "not stated by the issuer",
        };
        let made_by = match self.signature_mode.as_str() {
            "tpm-pss" => ", signs in the TPM",
            "software-pss" => ", signs in the TPM with padding made in software",
            _ => "",
        };
        lines.extend([
            field("Certificate", LABEL, &format!("serial {}", certificate.serial)),
            field("  Subject", LABEL, &certificate.subject),
            field("  Issuer", LABEL, &certificate.issuer),
            field("  Valid from", LABEL, &moment(certificate.not_before, now)),
            field("  until", LABEL, &moment(certificate.not_after, now)),
            field("  Key", LABEL, &format!("{}{made_by}", certificate.key)),
            field("  Assurance", LABEL, assurance),
        ]);
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_of_an_enrolled_device() {
        let identity = Identity {
            edge_id: "EDGE-1".into(),
            ek_sha256: "ab".repeat(32),
            device_id: "7".into(),
            tenant: "demo".into(),
            state: "active".into(),
            signature_mode: "tpm-pss".into(),
            certificate: Some(CertificateFacts {
                subject: "CN=7".into(),
                issuer: "CN=Issuing CA".into(),
                serial: "0a".into(),
                not_before: 0,
                not_after: 86400 * 90,
                key: "RSA-2048".into(),
                attested: Some(true),
            }),
        };
        let text = identity.block(86400);
        for part in [
            "Edge ID      EDGE-1\n",
            "Certificate  serial 0a\n  Subject    CN=7\n",
            "  until      1970-04-01T00:00:00Z (in 89 days)\n",
            "  Key        RSA-2048, signs in the TPM\n",
            "  Assurance  attested",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let before = Identity { certificate: None, device_id: String::new(), ..identity };
        assert!(before.block(0).contains("Device ID    none yet\n"));
        assert!(before.block(0).contains("Certificate  none yet"));
    }
}
