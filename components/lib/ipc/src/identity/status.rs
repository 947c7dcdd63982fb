//! What the device says about its identity.

use std::fmt;

use zbus::Variant;

/// Where the device is on its way to an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Just started.
    #[default]
    Uninitialised,
    /// No site configuration.
    WaitingForSite,
    /// The TPM makes keys.
    Preparing,
    /// The cloud cannot be reached yet.
    WaitingForNetwork,
    /// Enrolment is under way.
    Enrolling,
    /// An operator has to approve the device.
    WaitingForApproval,
    /// The cloud does not accept the device.
    Refused,
    /// The certificate is there and is tried out.
    Activating,
    /// The device has its identity.
    Active,
    /// Something on the device is broken.
    Faulted,
}

impl State {
    const ALL: [Self; 10] = [
        Self::Uninitialised,
        Self::WaitingForSite,
        Self::Preparing,
        Self::WaitingForNetwork,
        Self::Enrolling,
        Self::WaitingForApproval,
        Self::Refused,
        Self::Activating,
        Self::Active,
        Self::Faulted,
    ];

    /// The name on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uninitialised => "uninitialised",
            Self::WaitingForSite => "waiting_for_site",
            Self::Preparing => "preparing",
            Self::WaitingForNetwork => "waiting_for_network",
            Self::Enrolling => "enrolling",
            Self::WaitingForApproval => "waiting_for_approval",
            Self::Refused => "refused",
            Self::Activating => "activating",
            Self::Active => "active",
            Self::Faulted => "faulted",
        }
    }

    /// Reads the name on the bus.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the TPM makes RSA-PSS signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SignatureMode {
    /// Not known yet.
    #[default]
    Unknown,
    /// The TPM makes them as TLS 1.3 wants them.
    TpmPss,
    /// Encoded in software, raw RSA in the TPM, since this TPM's salt is too long for TLS 1.3.
    SoftwarePss,
}

impl SignatureMode {
    /// The name on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::TpmPss => "tpm-pss",
            Self::SoftwarePss => "software-pss",
        }
    }
}

/// The properties of the interface. Times are Unix seconds, 0 for none; texts are empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityStatus {
    /// Where the device is.
    pub state: State,
    /// Name of the device in the field.
    pub edge_id: String,
    /// Id that the cloud gave it.
    pub device_id: String,
    /// SHA-256 of the EK's SPKI, lower-case hexadecimal.
    pub ek_sha256: String,
    /// Tenant of the site.
    pub tenant: String,
    /// End of the certificate.
    pub certificate_expires: u64,
    /// When the certificate is renewed.
    pub next_renewal: u64,
    /// How signatures are made.
    pub signature_mode: SignatureMode,
    /// What went wrong last and what to do next, for people.
    pub last_error: String,
    /// The same as a stable code.
    pub last_error_code: String,
    /// When the next attempt starts.
    pub next_attempt: u64,
    /// Serial number of the certificate, lower-case hexadecimal. No property: its change is
    /// announced by the signal `CertificateRenewed`.
    pub certificate_serial: String,
    /// Whether the certificate was issued since the service started. One that was there before is
    /// no news, and not announced.
    pub certificate_is_issued: bool,
}

impl IdentityStatus {
    /// Properties that differ from an earlier status, with their new values.
    pub(super) fn changed_since(&self, earlier: &Self) -> Vec<(&'static str, Variant<'static>)> {
        self.properties()
            .into_iter()
            .zip(earlier.properties())
            .filter_map(|(new, old)| (new != old).then_some(new))
            .collect()
    }

    fn properties(&self) -> [(&'static str, Variant<'static>); 11] {
        let text = |text: &str| Variant::from(text.to_owned());
        [
            ("State", text(self.state.as_str())),
            ("EdgeId", text(&self.edge_id)),
            ("DeviceId", text(&self.device_id)),
            ("EkSha256", text(&self.ek_sha256)),
            ("Tenant", text(&self.tenant)),
            ("CertificateExpires", self.certificate_expires.into()),
            ("NextRenewal", self.next_renewal.into()),
            ("SignatureMode", text(self.signature_mode.as_str())),
            ("LastError", text(&self.last_error)),
            ("LastErrorCode", text(&self.last_error_code)),
            ("NextAttempt", self.next_attempt.into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_names_lead_back() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("Active"), None);
    }

    #[test]
    fn only_changes_are_announced() {
        let before = IdentityStatus { edge_id: "A".into(), ..IdentityStatus::default() };
        let after = IdentityStatus {
            state: State::Active,
            next_renewal: 7,
            certificate_serial: "01".into(),
            ..before.clone()
        };
        assert_eq!(
            after.changed_since(&before),
            [("State", Variant::from("active".to_owned())), ("NextRenewal", 7_u64.into())]
        );
        assert!(before.changed_since(&before).is_empty());
    }
}
