//! Bodies of requests and answers; the command line uses the same types.

use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::ca::{CaCertificate, CaId, Roster};
use crate::device_audit::{LogId, LogState, PreviousLog, StoredLog};
use crate::registry::{
    Approval, Binding, CertificateRecord, Device, Digest, EnrolmentRecord, Event, GroupName,
    QuoteMode, StoredBootReport, Tenant,
};
use crate::tokens::{Audience, Scope};
use crate::usb::TextChange;

/// How many items a page of a log has: what was asked for, in bounds.
pub(super) fn page(wanted: Option<u32>) -> u32 {
    const USUAL: u32 = 100;
    const LARGEST: u32 = 1000;
    wanted.unwrap_or(USUAL).min(LARGEST)
}

/// Registers a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterDevice {
    /// Owner; may be left out while there is one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// As it is printed or read on the device; it is normalised.
    pub edge_id: String,
    /// How its device is known.
    #[serde(default)]
    pub binding: Binding,
    /// SHA-256 of the endorsement key's `SubjectPublicKeyInfo`, with binding `ek_sha256` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek_sha256: Option<Digest>,
    /// Until when the device must have enrolled; a code or secret ends after seven days otherwise.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub not_after: Option<time::OffsetDateTime>,
    /// Who lets it in; an operator with binding `ek_ca`, else its proof is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What an unknown quote leads to, whatever the group says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_mode: Option<QuoteMode>,
    /// The group that it is in, of its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// The operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A device that was just registered; the only time that the server shows code or secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegisteredDevice {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// With binding `pairing_code`: to be carried to the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairing_code: Option<String>,
    /// With binding `plain_est`: the password of its first EST request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment_secret: Option<String>,
}

/// What came of a table of devices.
#[derive(Clone, Serialize, Deserialize)]
pub struct ImportedDevices {
    /// How many there are.
    pub registered: usize,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// The only time that the server shows codes and secrets.
    pub secrets: Vec<ImportedSecret>,
}

/// What is to be carried to a device of the table.
#[derive(Clone, Serialize, Deserialize)]
pub struct ImportedSecret {
    /// The device.
    pub edge_id: String,
    /// With binding `pairing_code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairing_code: Option<String>,
    /// With binding `plain_est`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment_secret: Option<String>,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: time::OffsetDateTime,
}

/// Says something of the USB ports of a group or a device. What is left out stays as it is, null
/// takes it away.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetUsbPolicy {
    /// Text of a rules file.
    #[serde(default, skip_serializing_if = "TextChange::is_keep")]
    pub rules: TextChange,
    /// Text of a port list.
    #[serde(default, skip_serializing_if = "TextChange::is_keep")]
    pub ports: TextChange,
}

/// Allows CAs of TPM makers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddEkCas {
    /// Owner; may be left out while there is one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Certificates, PEM.
    pub certificates: String,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddedEkCas {
    /// Certificates that were not allowed before.
    pub added: usize,
    /// Certificates in the request.
    pub given: usize,
}

/// Gives an Edge ID to another TPM.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebindDevice {
    /// The new TPM.
    pub ek_sha256: Digest,
}

/// Puts a device into a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveGroup {
    /// The group, of the device's tenant; none: into no group.
    #[serde(deserialize_with = "Option::deserialize")]
    pub group: Option<GroupName>,
}

/// Makes a group, or puts it in place of the one of its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutGroup {
    /// Owner of its devices; may be left out while there is one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Unique within the tenant.
    pub name: GroupName,
    /// What an unknown quote of its devices leads to.
    pub quote_policy: QuoteMode,
}

/// A device with all that an operator wants to see at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceDetail {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// What it said last of its boot.
    #[serde(default)]
    pub boot: Option<StoredBootReport>,
    /// Newest first.
    pub certificates: Vec<CertificateRecord>,
    /// Newest first.
    pub enrolments: Vec<EnrolmentRecord>,
    /// Newest first, the last few.
    pub events: Vec<Event>,
}

/// Adds a site configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddSite {
    /// site.toml
    pub document: String,
    /// site.toml.sig, hexadecimal.
    #[serde(default, with = "hex")]
    pub signature: Vec<u8>,
}

/// Makes an API key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// What people call it; it stands in audit records.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
}

/// An API key without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKeySummary {
    /// Part of the key that is not secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: time::OffsetDateTime,
    /// By whom.
    pub created_by: String,
    /// When it was revoked.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<time::OffsetDateTime>,
}

/// A new API key; the only time that the server shows it.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewApiKey {
    /// The key without its secret.
    #[serde(flatten)]
    pub summary: ApiKeySummary,
    /// The whole key.
    pub key: String,
}

/// The certificate authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthorityDetail {
    /// The root in force, PEM: the anchor that new sites pin.
    pub root: String,
    /// The certificate that signs devices', PEM.
    pub issuing: String,
    /// Its end.
    #[serde(with = "time::serde::rfc3339")]
    pub issuing_not_after: time::OffsetDateTime,
    /// Roots, then issuing CAs; of each kind the one in force first.
    pub cas: Vec<CaSummary>,
    /// While the overlap of two roots lasts: the new one signed by the old one, and the old one
    /// signed by the new one, PEM.
    pub cross_certificates: Vec<String>,
}

/// What a CA is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaKind {
    /// An anchor.
    Root,
    /// Signs devices' certificates.
    Issuing,
}

/// A CA.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaSummary {
    /// Names its key.
    pub id: CaId,
    /// What it is for.
    pub kind: CaKind,
    /// The common name in its certificate.
    pub name: String,
    /// SHA-256 of its certificate.
    pub sha256: String,
    /// Start of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: time::OffsetDateTime,
    /// End of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: time::OffsetDateTime,
    /// When another one took over; none: it is in force.
    #[serde(with = "time::serde::rfc3339::option")]
    pub superseded_at: Option<time::OffsetDateTime>,
    /// PEM.
    pub certificate: String,
}

impl CaSummary {
    fn new(kind: CaKind, ca: &CaCertificate, superseded_at: Option<time::OffsetDateTime>) -> Self {
        Self {
            id: ca.id().clone(),
            kind,
            name: ca.common_name().to_owned(),
            sha256: ca.sha256(),
            not_before: ca.not_before(),
            not_after: ca.not_after(),
            superseded_at,
            certificate: ca.pem(),
        }
    }
}

impl From<&Roster> for AuthorityDetail {
    fn from(roster: &Roster) -> Self {
        let former = roster.former_root.as_ref();
        let root = &roster.root.certificate;
        let roots =
            std::iter::once(CaSummary::new(CaKind::Root, root, None)).chain(former.map(|former| {
                let since = Some(former.superseded_at);
                CaSummary::new(CaKind::Root, &former.root.certificate, since)
            }));
        let issuing = roster
            .issuing
            .iter()
            .map(|ca| CaSummary::new(CaKind::Issuing, &ca.certificate, ca.superseded_at));
        let cas: Vec<CaSummary> = roots.chain(issuing).collect();
        let signing = cas.iter().find(|ca| ca.kind == CaKind::Issuing);
        Self {
            root: root.pem(),
            issuing: signing.map(|ca| ca.certificate.clone()).unwrap_or_default(),
            issuing_not_after: signing.map_or(root.not_after(), |ca| ca.not_after),
            cross_certificates: former
                .into_iter()
                .flat_map(|former| [former.new_with_old.pem(), former.old_with_new.pem()])
                .collect(),
            cas,
        }
    }
}

/// Allows tokens for an audience.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutAudience {
    /// Whose devices; may be left out while there is one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The audience.
    pub audience: Audience,
    /// What a token may ask for.
    #[serde(default)]
    pub scopes: Vec<Scope>,
}

/// Names an audience.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameAudience {
    /// Whose devices; may be left out while there is one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The audience.
    pub audience: Audience,
}

/// Changes the keys that sign tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateTokenKeys {
    /// Somebody else may have the keys: none of them is published any more.
    #[serde(default)]
    pub compromised: bool,
}

/// How an audit log of a device stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditLogStatus {
    /// Its id.
    pub log: LogId,
    /// Whether it still grows.
    pub state: LogState,
    /// Number of records.
    pub size: u64,
    /// Hash of the last of them.
    pub head: String,
    /// Root of the tree over them.
    pub root: String,
    /// Number of records that the last checkpoint signed.
    pub signed_size: Option<u64>,
    /// The last start of the device that a checkpoint is bound to.
    pub boot: Option<AuditLogBoot>,
    /// The log that it follows, as the device tells.
    pub previous: Option<PreviousLog>,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub registered_at: time::OffsetDateTime,
    /// When the last records came.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub uploaded_at: Option<time::OffsetDateTime>,
}

/// A start of a device, by its TPM.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AuditLogBoot {
    /// Starts of the TPM since it was cleared.
    pub reset_count: u32,
    /// A counter of the TPM that grows at every start.
    pub nv_counter: u64,
}

impl From<&StoredLog> for AuditLogStatus {
    fn from(log: &StoredLog) -> Self {
        let position = &log.position;
        Self {
            log: log.id.clone(),
            state: log.state,
            size: position.size(),
            head: position.head.to_string(),
            root: position.frontier.root().to_string(),
            signed_size: position.checkpoint,
            boot: position.boot.map(|boot| AuditLogBoot {
                reset_count: boot.clock.reset_count,
                nv_counter: boot.nv_counter,
            }),
            previous: log.previous.clone(),
            registered_at: log.registered_at,
            uploaded_at: log.uploaded_at,
        }
    }
}

/// A list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Items<T> {
    /// The things.
    pub items: Vec<T>,
}
