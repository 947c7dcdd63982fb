//! Where the server remembers: a trait, so that another database can stand in for the embedded
//! one. Each changing operation is one transaction, and its audit record is part of it.

mod error;
pub mod sqlite;

use futures_util::future::BoxFuture;
use holdfast_audit_log::AuditRecord;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub use error::StoreError;
pub use sqlite::SqliteStore;

use crate::access::ApiKey;
use crate::ca::{CaId, RevokedCertificate, Serial};
use crate::device_audit::{BatchPage, BatchQuery, LogId, NewBatch, NewLog, StoredBatch, StoredLog};
use crate::ek_cas::EkCa;
use crate::recovery::{NewRecoveryKey, StoredRecoveryKey};
use crate::registry::{
    Alert, BootReport, CertificateRecord, CertificateStanding, Claim, Device, DeviceRef,
    DeviceState, Digest, EnrolmentRecord, Event, Group, GroupName, NewDevice, NewEvent, NewGroup,
    ProvenTpm, RegistrationSecret, Severity, StoredBootReport, Tenant,
};
use crate::releases::Release;
use crate::sites::Site;
use crate::tokens::{Audience, AudienceRecord};
use crate::usb::{DeviceUsbPolicy, UsbDevice, UsbDocument, UsbPolicy, UsbPolicyChange};

/// What a store operation gives.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// An audit record with what it concerns, for searching.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// The record.
    pub record: AuditRecord,
    /// Tenant that it concerns.
    pub tenant: Option<Tenant>,
    /// Device that it concerns.
    pub device_id: Option<Uuid>,
}

/// An audit record of the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredAuditRecord {
    /// Grows.
    pub id: i64,
    /// Tenant that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Device that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<Uuid>,
    /// The record.
    pub record: AuditRecord,
}

/// A change that does not issue a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// Puts it up for approval, and binds its TPM if none is bound yet: an operator approves a
    /// TPM, not a name.
    AwaitApproval(Option<ProvenTpm>),
    /// Lets a waiting device in.
    Approve,
    /// Shuts it out for a while.
    Suspend,
    /// Lets it in again.
    Resume,
    /// Shuts it out for good; its certificates are revoked.
    Revoke,
    /// Takes it out of the fleet; its certificates are revoked.
    Retire,
    /// Gives its Edge ID to another TPM; its certificates are revoked.
    Rebind(Digest),
    /// Takes PCR 7 of the next enrolment for the right one.
    ForgetFirmware,
    /// Puts it into a group of its tenant, or into none.
    MoveGroup(Option<GroupName>),
}

/// Who changes what, and when.
#[derive(Clone, Debug)]
pub struct ChangeOrder {
    /// The device.
    pub device_id: Uuid,
    /// The change.
    pub change: DeviceChange,
    /// When.
    pub at: OffsetDateTime,
    /// Name of who changes.
    pub by: String,
}

/// An enrolment to be recorded with its certificate.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The claim, which is decided on again within the transaction.
    pub claim: Claim,
    /// The TPM that was proven, to be bound if none is yet; none: a client without a TPM.
    pub tpm: Option<ProvenTpm>,
    /// What was shown.
    pub record: EnrolmentRecord,
    /// What was issued.
    pub certificate: CertificateRecord,
    /// The certificate itself.
    pub der: Vec<u8>,
    /// The certificate that it renews, which must still be in force; none: the TPM is enough.
    pub renews: Option<Serial>,
    /// End of the overlap of the certificates before it.
    pub overlap_ends: OffsetDateTime,
}

/// Which devices to list.
#[derive(Clone, Debug, Default)]
pub struct DeviceFilter {
    /// Only of this tenant.
    pub tenant: Option<Tenant>,
    /// Only in this state.
    pub state: Option<DeviceState>,
    /// Only in a group of this name.
    pub group: Option<GroupName>,
    /// Only Edge IDs after this one.
    pub after: Option<Uuid>,
    /// At most so many.
    pub limit: u32,
}

/// Which alerts to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Also those that were acknowledged.
    pub acknowledged_too: bool,
    /// Only older ones than this.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Who takes note of an alert, and when.
#[derive(Clone, Debug)]
pub struct Acknowledgement {
    /// When.
    pub at: OffsetDateTime,
    /// Name of who takes note.
    pub name: String,
}

/// Which events to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of this device.
    pub device_id: Option<Uuid>,
    /// Only where this Edge ID was claimed.
    pub edge_id: Option<String>,
    /// Only of this request.
    pub request_id: Option<String>,
    /// Only this severe or more.
    pub severity: Option<Severity>,
    /// Only older than this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Which audit records to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only about this device.
    pub device_id: Option<Uuid>,
    /// Only older than this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// What the server remembers, and how it changes.
pub trait Store: Send + Sync + 'static {
    /// Registers a device.
    fn register(&self, device: NewDevice, audit: AuditEntry) -> StoreFuture<'_, Device>;
    /// Registers devices, all or none; a conflict names the line that is given with the device.
    /// Without a record it is only tried.
    fn import(
        &self,
        devices: Vec<(u64, NewDevice)>,
        audit: Option<AuditEntry>,
    ) -> StoreFuture<'_, ()>;
    /// One device.
    fn device(&self, device: DeviceRef) -> StoreFuture<'_, Device>;
    /// Devices, ordered by id.
    fn devices(&self, filter: DeviceFilter) -> StoreFuture<'_, Vec<Device>>;
    /// Every device, retired ones too, that has the claim's Edge ID or its TPM.
    fn candidates(&self, claim: Claim) -> StoreFuture<'_, Vec<Device>>;
    /// Changes a device.
    fn change(&self, order: ChangeOrder, audit: AuditEntry) -> StoreFuture<'_, Device>;

    /// Makes a group, or puts it in place of the one of its name; its devices stay in it.
    fn put_group(&self, group: NewGroup, audit: AuditEntry) -> StoreFuture<'_, Group>;
    /// A group of a tenant.
    fn group(&self, tenant: Tenant, name: GroupName) -> StoreFuture<'_, Group>;
    /// Groups, of one tenant or all.
    fn groups(&self, tenant: Option<Tenant>) -> StoreFuture<'_, Vec<Group>>;
    /// Removes a group that no device is in.
    fn remove_group(
        &self,
        tenant: Tenant,
        name: GroupName,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Group>;

    /// Changes what is said of the USB ports of a group or a device.
    fn set_usb_policy(
        &self,
        change: UsbPolicyChange,
        audit: AuditEntry,
    ) -> StoreFuture<'_, UsbPolicy>;
    /// What is said of the USB ports of a group.
    fn group_usb_policy(&self, tenant: Tenant, name: GroupName) -> StoreFuture<'_, UsbPolicy>;
    /// What is said of the USB ports of a device, and what comes of it.
    fn device_usb_policy(&self, device_id: Uuid) -> StoreFuture<'_, DeviceUsbPolicy>;
    /// What a device is told of its USB ports; its version is another one than before if it says
    /// something else. None: nothing is said.
    fn usb_document(
        &self,
        device_id: Uuid,
        at: OffsetDateTime,
    ) -> StoreFuture<'_, Option<UsbDocument>>;

    /// What is plugged into the USB ports of a device, as its audit log tells.
    fn usb_devices(&self, device_id: Uuid) -> StoreFuture<'_, Vec<UsbDevice>>;

    /// Records an enrolment, if the claim is still admitted.
    fn enrol(
        &self,
        enrolment: Enrolment,
        event: NewEvent,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Device>;
    /// The certificate of this serial number and its device.
    fn session(&self, serial: Serial) -> StoreFuture<'_, Option<(CertificateRecord, Device)>>;
    /// Notes that a device called.
    fn seen(&self, device_id: Uuid, at: OffsetDateTime) -> StoreFuture<'_, ()>;
    /// Moves an enrolled device to active; an active one stays as it is and nothing is recorded.
    fn activate(
        &self,
        device_id: Uuid,
        at: OffsetDateTime,
        event: NewEvent,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Device>;
    /// Certificates of a device, newest first.
    fn certificates(&self, device_id: Uuid) -> StoreFuture<'_, Vec<CertificateRecord>>;
    /// What is known of certificates that `ca` issued, in the order of their serial numbers; none
    /// for one that it did not issue.
    fn standings(
        &self,
        ca: CaId,
        serials: Vec<Serial>,
    ) -> StoreFuture<'_, Vec<Option<CertificateStanding>>>;
    /// What a revocation list of `ca` names at a moment, by serial number.
    fn revoked(&self, ca: CaId, now: OffsetDateTime) -> StoreFuture<'_, Vec<RevokedCertificate>>;
    /// A number that no revocation list of `ca` had before.
    fn next_crl_number(&self, ca: CaId) -> StoreFuture<'_, u64>;
    /// How many devices use a certificate of one of these CAs and have no newer one.
    fn devices_of_issuers(&self, cas: Vec<CaId>, now: OffsetDateTime) -> StoreFuture<'_, u64>;
    /// Revokes every certificate of CAs that are taken out of service.
    fn retire_issuers(
        &self,
        cas: Vec<CaId>,
        at: OffsetDateTime,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ()>;
    /// `TPMT_PUBLIC` of the AK of the device's last enrolment.
    fn attestation_key(&self, device_id: Uuid) -> StoreFuture<'_, Option<Vec<u8>>>;
    /// Enrolments of a device, newest first.
    fn enrolments(&self, device_id: Uuid) -> StoreFuture<'_, Vec<EnrolmentRecord>>;

    /// Puts what a device says of its boot in place of what it said before. The same again changes
    /// nothing and records nothing. Of other firmware than before there is this event, with what
    /// changed as its detail.
    fn put_boot_report(
        &self,
        device_id: Uuid,
        report: BootReport,
        changed: NewEvent,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ()>;
    /// What a device said last of its boot.
    fn boot_report(&self, device_id: Uuid) -> StoreFuture<'_, Option<StoredBootReport>>;

    /// Puts a device's recovery keys, oldest first, in place of those that it handed over before.
    /// The same again changes nothing and records nothing.
    fn put_recovery_keys(
        &self,
        device_id: Uuid,
        keys: Vec<NewRecoveryKey>,
        at: OffsetDateTime,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ()>;
    /// Recovery keys of one device or of all, newest first.
    fn recovery_keys(&self, device_id: Option<Uuid>) -> StoreFuture<'_, Vec<StoredRecoveryKey>>;

    /// Publishes a release; publishing the same again brings a withdrawn one back.
    fn publish_release(&self, release: Release, audit: AuditEntry) -> StoreFuture<'_, Release>;
    /// Releases, newest first.
    fn releases(&self) -> StoreFuture<'_, Vec<Release>>;
    /// Withdraws a release: no enrolment with it from then on.
    fn withdraw_release(
        &self,
        uki_sha256: Digest,
        at: OffsetDateTime,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Release>;

    /// Adds a site configuration; adding the same again changes nothing.
    fn add_site(&self, site: Site, audit: AuditEntry) -> StoreFuture<'_, Site>;
    /// Site configurations, of one tenant or all.
    fn sites(&self, tenant: Option<Tenant>) -> StoreFuture<'_, Vec<Site>>;

    /// Allows tokens for an audience; one that is there gets the new scopes.
    fn put_audience(
        &self,
        audience: AudienceRecord,
        audit: AuditEntry,
    ) -> StoreFuture<'_, AudienceRecord>;
    /// An audience of a tenant.
    fn audience(
        &self,
        tenant: Tenant,
        audience: Audience,
    ) -> StoreFuture<'_, Option<AudienceRecord>>;
    /// Audiences, of one tenant or all.
    fn audiences(&self, tenant: Option<Tenant>) -> StoreFuture<'_, Vec<AudienceRecord>>;
    /// Forbids tokens for an audience from then on.
    fn remove_audience(
        &self,
        tenant: Tenant,
        audience: Audience,
        audit: AuditEntry,
    ) -> StoreFuture<'_, AudienceRecord>;

    /// What is kept of the secret that a registration gave out, until it has served.
    fn registration_secret(&self, device_id: Uuid) -> StoreFuture<'_, Option<RegistrationSecret>>;
    /// Allows CAs of TPM makers; says how many are new.
    fn add_ek_cas(&self, cas: Vec<EkCa>, audit: AuditEntry) -> StoreFuture<'_, usize>;
    /// Allowed CAs of TPM makers, of one tenant or all.
    fn ek_cas(&self, tenant: Option<Tenant>) -> StoreFuture<'_, Vec<EkCa>>;
    /// Allows a CA no more; TPMs that are bound stay bound.
    fn remove_ek_ca(
        &self,
        tenant: Tenant,
        sha256: Digest,
        audit: AuditEntry,
    ) -> StoreFuture<'_, EkCa>;

    /// Records an event.
    fn record_event(&self, event: NewEvent, audit: Option<AuditEntry>) -> StoreFuture<'_, i64>;
    /// Events, newest first.
    fn events(&self, filter: EventFilter) -> StoreFuture<'_, Vec<Event>>;
    /// Records an operation that changed nothing, because it failed or was denied.
    fn alerts(&self, filter: AlertFilter) -> StoreFuture<'_, Vec<Alert>>;
    /// Closes an open alert.
    fn acknowledge_alert(
        &self,
        id: i64,
        by: Acknowledgement,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Alert>;
    /// Writes an audit record alone.
    fn record_audit(&self, audit: AuditEntry) -> StoreFuture<'_, ()>;
    /// Audit records, newest first.
    fn audit_records(&self, filter: AuditFilter) -> StoreFuture<'_, Vec<StoredAuditRecord>>;

    /// Registers an audit log of a device and closes the one that was open; then there is this
    /// event, with what happened as its detail.
    fn register_audit_log(
        &self,
        log: NewLog,
        replaced: NewEvent,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ()>;
    /// An audit log of a device.
    fn audit_log(&self, id: LogId) -> StoreFuture<'_, Option<StoredLog>>;
    /// Audit logs of a device, newest first.
    fn audit_logs(&self, device_id: Uuid) -> StoreFuture<'_, Vec<StoredLog>>;
    /// Every audit log with the number of its records.
    fn audit_log_sizes(&self) -> StoreFuture<'_, Vec<(LogId, u64)>>;
    /// Makes a batch whose file is durable part of its log.
    fn append_audit_batch(&self, batch: NewBatch) -> StoreFuture<'_, ()>;
    /// Lets an audit log grow no more; where it is forked already nothing is recorded.
    fn fork_audit_log(&self, id: LogId, event: NewEvent, audit: AuditEntry) -> StoreFuture<'_, ()>;
    /// The batch of a log that has this record.
    fn audit_batch_of(&self, log: LogId, sequence: u64) -> StoreFuture<'_, Option<StoredBatch>>;
    /// Batches of a log in order, those that begin with this record or a later one.
    fn audit_batches(
        &self,
        log: LogId,
        first: u64,
        limit: u32,
    ) -> StoreFuture<'_, Vec<StoredBatch>>;
    /// Batches that may have what is looked for, newest first.
    fn search_audit_batches(&self, query: BatchQuery) -> StoreFuture<'_, BatchPage>;

    /// Adds an API key.
    fn add_api_key(&self, key: ApiKey, audit: AuditEntry) -> StoreFuture<'_, ()>;
    /// An API key, revoked or not.
    fn api_key(&self, id: String) -> StoreFuture<'_, Option<ApiKey>>;
    /// API keys, newest first.
    fn api_keys(&self) -> StoreFuture<'_, Vec<ApiKey>>;
    /// Revokes an API key.
    fn revoke_api_key(
        &self,
        id: String,
        at: OffsetDateTime,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ApiKey>;

    /// Whether the store answers.
    fn ping(&self) -> StoreFuture<'_, ()>;
}
