//! The embedded store: SQLite in WAL mode, one thread that writes, and readers beside it.

mod alerts;
mod api_keys;
mod audiences;
mod audit;
mod boot_reports;
mod certificates;
mod columns;
mod device_logs;
mod devices;
mod ek_cas;
mod enrolments;
mod events;
mod groups;
mod recovery;
mod registration_secrets;
mod releases;
mod revocations;
mod schema;
mod sites;
mod usb_devices;
mod usb_policies;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use time::OffsetDateTime;
use uuid::Uuid;

use self::usb_policies::Known;
use self::writer::Writer;
use super::{
    Acknowledgement, AlertFilter, AuditEntry, AuditFilter, ChangeOrder, DeviceFilter, Enrolment,
    EventFilter, Store, StoreError, StoreFuture, StoredAuditRecord,
};
use crate::access::ApiKey;
use crate::ca::{CaId, RevokedCertificate, Serial};
use crate::device_audit::{BatchPage, BatchQuery, LogId, NewBatch, NewLog, StoredBatch, StoredLog};
use crate::ek_cas::EkCa;
use crate::files;
use crate::recovery::{NewRecoveryKey, StoredRecoveryKey};
use crate::registry::{
    Alert, BootReport, CertificateRecord, CertificateStanding, Claim, Device, DeviceRef, Digest,
    EnrolmentRecord, Event, Group, GroupName, NewDevice, NewEvent, NewGroup, RegistrationSecret,
    StoredBootReport, Tenant,
};
use crate::releases::Release;
use crate::sites::Site;
use crate::tokens::{Audience, AudienceRecord};
use crate::usb::{DeviceUsbPolicy, UsbDevice, UsbDocument, UsbPolicy, UsbPolicyChange};

/// Another process (`holdfast-cloud site new`) may hold the write lock for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A store in one file.
pub struct SqliteStore {
    // Dropped before the writer: SQLite folds its log into the file at the last close, which must
    // be that of a connection that can write.
    readers: Arc<Readers>,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the database, creates it or brings it to the present schema.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unusable = |detail: String| {
            StoreError::Database(format!("cannot open {}: {detail}", path.display()))
        };
        files::create_private(path).map_err(|e| unusable(e.to_string()))?;
        let mut connection = Connection::open(path).map_err(|e| unusable(e.to_string()))?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // An issued certificate must not be forgotten at a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::migrate(&mut connection)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(Self {
            writer: Writer::start(connection)?,
            readers: Arc::new(Readers { path: path.to_owned(), idle: Mutex::new(Vec::new()) }),
        })
    }

    fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(self.writer.run(change))
    }

    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || readers.run(query))
                .await
                .map_err(|e| StoreError::Database(e.to_string()))?
        })
    }
}

/// Connections that read; as many as were ever used at once.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn run<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        let result = query(&connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }
}

impl Store for SqliteStore {
    fn register(&self, device: NewDevice, audit: AuditEntry) -> StoreFuture<'_, Device> {
        self.write(move |db| {
            let device = devices::insert(db, &device)?;
            audit::insert(db, &AuditEntry { device_id: Some(device.id), ..audit })?;
            Ok(device)
        })
    }

    fn import(
        &self,
        devices: Vec<(u64, NewDevice)>,
        audit: Option<AuditEntry>,
    ) -> StoreFuture<'_, ()> {
        self.write(move |db| {
            db.execute_batch("SAVEPOINT import")?;
            for (line, device) in &devices {
                devices::add(db, device).map_err(|error| error.at_line(*line))?;
            }
            match &audit {
                Some(audit) => audit::insert(db, audit)?,
                None => db.execute_batch("ROLLBACK TO import")?,
            }
            Ok(db.execute_batch("RELEASE import")?)
        })
    }

    fn device(&self, device: DeviceRef) -> StoreFuture<'_, Device> {
        self.read(move |db| devices::find(db, &device))
    }

    fn devices(&self, filter: DeviceFilter) -> StoreFuture<'_, Vec<Device>> {
        self.read(move |db| devices::list(db, &filter))
    }

    fn candidates(&self, claim: Claim) -> StoreFuture<'_, Vec<Device>> {
        self.read(move |db| devices::candidates(db, &claim))
    }

    fn change(&self, order: ChangeOrder, audit: AuditEntry) -> StoreFuture<'_, Device> {
        self.write(move |db| {
            let device = devices::change(db, &order)?;
            audit::insert(db, &audit)?;
            Ok(device)
        })
    }

    fn put_group(&self, group: NewGroup, audit: AuditEntry) -> StoreFuture<'_, Group> {
        self.write(move |db| {
            let group = groups::put(db, &group)?;
            audit::insert(db, &audit)?;
            Ok(group)
        })
    }

    fn group(&self, tenant: Tenant, name: GroupName) -> StoreFuture<'_, Group> {
        self.read(move |db| groups::get(db, &tenant, &name))
    }

    fn groups(&self, tenant: Option<Tenant>) -> StoreFuture<'_, Vec<Group>> {
        self.read(move |db| groups::list(db, tenant.as_ref()))
    }

    fn remove_group(
        &self,
        tenant: Tenant,
        name: GroupName,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Group> {
        self.write(move |db| {
            let removed = groups::remove(db, &tenant, &name)?;
            audit::insert(db, &audit)?;
            Ok(removed)
        })
    }

    fn set_usb_policy(
        &self,
        change: UsbPolicyChange,
        audit: AuditEntry,
    ) -> StoreFuture<'_, UsbPolicy> {
        self.write(move |db| {
            let policy = usb_policies::change(db, change)?;
            audit::insert(db, &audit)?;
            Ok(policy)
        })
    }

    fn group_usb_policy(&self, tenant: Tenant, name: GroupName) -> StoreFuture<'_, UsbPolicy> {
        self.read(move |db| {
            groups::get(db, &tenant, &name)?;
            usb_policies::of_group(db, &tenant, &name)?.ok_or_else(|| {
                StoreError::NotFound(format!("USB policy of group {name} of tenant {tenant}"))
            })
        })
    }

    fn device_usb_policy(&self, device_id: Uuid) -> StoreFuture<'_, DeviceUsbPolicy> {
        self.read(move |db| usb_policies::of_device(db, device_id))
    }

    fn usb_document(
        &self,
        device_id: Uuid,
        at: OffsetDateTime,
    ) -> StoreFuture<'_, Option<UsbDocument>> {
        Box::pin(async move {
            // Devices ask often and are told seldom: the one writer is left alone.
            match self.read(move |db| usb_policies::known_document(db, device_id)).await? {
                Known::Nothing => Ok(None),
                Known::Document(document) => Ok(Some(document)),
                Known::Changed => {
                    self.write(move |db| usb_policies::make_document(db, device_id, at)).await
                }
            }
        })
    }

    fn usb_devices(&self, device_id: Uuid) -> StoreFuture<'_, Vec<UsbDevice>> {
        self.read(move |db| usb_devices::list(db, device_id))
    }

    fn enrol(
        &self,
        enrolment: Enrolment,
        event: NewEvent,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Device> {
        self.write(move |db| {
            let device = enrolments::insert(db, &enrolment)?;
            events::insert(db, &event)?;
            audit::insert(db, &audit)?;
            Ok(device)
        })
    }

    fn session(&self, serial: Serial) -> StoreFuture<'_, Option<(CertificateRecord, Device)>> {
        self.read(move |db| certificates::session(db, &serial))
    }

    fn seen(&self, device_id: Uuid, at: OffsetDateTime) -> StoreFuture<'_, ()> {
        self.write(move |db| devices::seen(db, device_id, at))
    }

    fn activate(
        &self,
        device_id: Uuid,
        at: OffsetDateTime,
        event: NewEvent,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Device> {
        self.write(move |db| {
            let (device, changed) = devices::activate(db, device_id, at)?;
            if changed {
                events::insert(db, &event)?;
                audit::insert(db, &audit)?;
            }
            Ok(device)
        })
    }

    fn certificates(&self, device_id: Uuid) -> StoreFuture<'_, Vec<CertificateRecord>> {
        self.read(move |db| certificates::list(db, device_id))
    }

    fn standings(
        &self,
        ca: CaId,
        serials: Vec<Serial>,
    ) -> StoreFuture<'_, Vec<Option<CertificateStanding>>> {
        self.read(move |db| revocations::standings(db, &ca, &serials))
    }

    fn revoked(&self, ca: CaId, now: OffsetDateTime) -> StoreFuture<'_, Vec<RevokedCertificate>> {
        self.read(move |db| revocations::revoked(db, &ca, now))
    }

    fn next_crl_number(&self, ca: CaId) -> StoreFuture<'_, u64> {
        self.write(move |db| revocations::next_crl_number(db, &ca))
    }

    fn devices_of_issuers(&self, cas: Vec<CaId>, now: OffsetDateTime) -> StoreFuture<'_, u64> {
        self.read(move |db| revocations::devices_of_issuers(db, &cas, now))
    }

    fn retire_issuers(
        &self,
        cas: Vec<CaId>,
        at: OffsetDateTime,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ()> {
        self.write(move |db| {
            revocations::retire_issuers(db, &cas, at)?;
            audit::insert(db, &audit)
        })
    }

    fn attestation_key(&self, device_id: Uuid) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.read(move |db| enrolments::attestation_key(db, device_id))
    }

    fn enrolments(&self, device_id: Uuid) -> StoreFuture<'_, Vec<EnrolmentRecord>> {
        self.read(move |db| enrolments::list(db, device_id))
    }

    fn put_boot_report(
        &self,
        device_id: Uuid,
        report: BootReport,
        changed: NewEvent,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ()> {
        self.write(move |db| {
            let earlier = boot_reports::find(db, device_id)?.map(|stored| stored.report);
            if earlier.as_ref() == Some(&report) {
                return Ok(());
            }
            boot_reports::put(db, device_id, &report, changed.at)?;
            if let Some(detail) = earlier.and_then(|earlier| report.changes_since(&earlier)) {
                events::insert(db, &NewEvent { detail, ..changed })?;
            }
            audit::insert(db, &audit)
        })
    }

    fn boot_report(&self, device_id: Uuid) -> StoreFuture<'_, Option<StoredBootReport>> {
        self.read(move |db| boot_reports::find(db, device_id))
    }

    fn put_recovery_keys(
        &self,
        device_id: Uuid,
        keys: Vec<NewRecoveryKey>,
        at: OffsetDateTime,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ()> {
        self.write(move |db| {
            if recovery::replace(db, device_id, &keys, at)? {
                audit::insert(db, &audit)?;
            }
            Ok(())
        })
    }

    fn recovery_keys(&self, device_id: Option<Uuid>) -> StoreFuture<'_, Vec<StoredRecoveryKey>> {
        self.read(move |db| recovery::list(db, device_id))
    }

    fn publish_release(&self, release: Release, audit: AuditEntry) -> StoreFuture<'_, Release> {
        self.write(move |db| {
            let release = releases::publish(db, &release)?;
            audit::insert(db, &audit)?;
            Ok(release)
        })
    }

    fn releases(&self) -> StoreFuture<'_, Vec<Release>> {
        self.read(releases::list)
    }

    fn withdraw_release(
        &self,
        uki_sha256: Digest,
        at: OffsetDateTime,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Release> {
        self.write(move |db| {
            let release = releases::withdraw(db, uki_sha256, at)?;
            audit::insert(db, &audit)?;
            Ok(release)
        })
    }

    fn add_site(&self, site: Site, audit: AuditEntry) -> StoreFuture<'_, Site> {
        self.write(move |db| {
            if sites::insert(db, &site)? {
                audit::insert(db, &audit)?;
            }
            sites::find(db, site.sha256)
        })
    }

    fn sites(&self, tenant: Option<Tenant>) -> StoreFuture<'_, Vec<Site>> {
        self.read(move |db| sites::list(db, tenant.as_ref()))
    }

    fn put_audience(
        &self,
        audience: AudienceRecord,
        audit: AuditEntry,
    ) -> StoreFuture<'_, AudienceRecord> {
        self.write(move |db| {
            audiences::put(db, &audience)?;
            audit::insert(db, &audit)?;
            Ok(audience)
        })
    }

    fn audience(
        &self,
        tenant: Tenant,
        audience: Audience,
    ) -> StoreFuture<'_, Option<AudienceRecord>> {
        self.read(move |db| audiences::find(db, &tenant, &audience))
    }

    fn audiences(&self, tenant: Option<Tenant>) -> StoreFuture<'_, Vec<AudienceRecord>> {
        self.read(move |db| audiences::list(db, tenant.as_ref()))
    }

    fn remove_audience(
        &self,
        tenant: Tenant,
        audience: Audience,
        audit: AuditEntry,
    ) -> StoreFuture<'_, AudienceRecord> {
        self.write(move |db| {
            let removed = audiences::remove(db, &tenant, &audience)?;
            audit::insert(db, &audit)?;
            Ok(removed)
        })
    }

    fn registration_secret(&self, device_id: Uuid) -> StoreFuture<'_, Option<RegistrationSecret>> {
        self.read(move |db| registration_secrets::find(db, device_id))
    }

    fn add_ek_cas(&self, cas: Vec<EkCa>, audit: AuditEntry) -> StoreFuture<'_, usize> {
        self.write(move |db| {
            let added = ek_cas::insert(db, &cas)?;
            if added > 0 {
                audit::insert(db, &audit)?;
            }
            Ok(added)
        })
    }

    fn ek_cas(&self, tenant: Option<Tenant>) -> StoreFuture<'_, Vec<EkCa>> {
        self.read(move |db| ek_cas::list(db, tenant.as_ref()))
    }

    fn remove_ek_ca(
        &self,
        tenant: Tenant,
        sha256: Digest,
        audit: AuditEntry,
    ) -> StoreFuture<'_, EkCa> {
        self.write(move |db| {
            let ca = ek_cas::remove(db, &tenant, sha256)?;
            audit::insert(db, &audit)?;
            Ok(ca)
        })
    }

    fn record_event(&self, event: NewEvent, audit: Option<AuditEntry>) -> StoreFuture<'_, i64> {
        self.write(move |db| {
            if let Some(audit) = &audit {
                audit::insert(db, audit)?;
            }
            events::insert(db, &event)
        })
    }

    fn events(&self, filter: EventFilter) -> StoreFuture<'_, Vec<Event>> {
        self.read(move |db| events::list(db, &filter))
    }

    fn alerts(&self, filter: AlertFilter) -> StoreFuture<'_, Vec<Alert>> {
        self.read(move |db| alerts::list(db, &filter))
    }

    fn acknowledge_alert(
        &self,
        id: i64,
        by: Acknowledgement,
        audit: AuditEntry,
    ) -> StoreFuture<'_, Alert> {
        self.write(move |db| {
            let alert = alerts::acknowledge(db, id, &by)?;
            let AuditEntry { record, .. } = audit;
            let event = &alert.event;
            let (tenant, device_id) = (event.tenant.clone(), event.device_id);
            audit::insert(db, &AuditEntry { record, tenant, device_id })?;
            Ok(alert)
        })
    }

    fn record_audit(&self, audit: AuditEntry) -> StoreFuture<'_, ()> {
        self.write(move |db| audit::insert(db, &audit))
    }

    fn audit_records(&self, filter: AuditFilter) -> StoreFuture<'_, Vec<StoredAuditRecord>> {
        self.read(move |db| audit::list(db, &filter))
    }

    fn register_audit_log(
        &self,
        log: NewLog,
        replaced: NewEvent,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ()> {
        self.write(move |db| {
            if let Some(before) = device_logs::insert(db, &log)? {
                let detail =
                    format!("log {} took the place of log {before}, which was open", log.id);
                events::insert(db, &NewEvent { detail, ..replaced })?;
            }
            audit::insert(db, &audit)
        })
    }

    fn audit_log(&self, id: LogId) -> StoreFuture<'_, Option<StoredLog>> {
        self.read(move |db| device_logs::find(db, &id))
    }

    fn audit_logs(&self, device_id: Uuid) -> StoreFuture<'_, Vec<StoredLog>> {
        self.read(move |db| device_logs::of_device(db, device_id))
    }

    fn audit_log_sizes(&self) -> StoreFuture<'_, Vec<(LogId, u64)>> {
        self.read(device_logs::sizes)
    }

    fn append_audit_batch(&self, batch: NewBatch) -> StoreFuture<'_, ()> {
        self.write(move |db| device_logs::append(db, &batch))
    }

    fn fork_audit_log(&self, id: LogId, event: NewEvent, audit: AuditEntry) -> StoreFuture<'_, ()> {
        self.write(move |db| {
            if device_logs::fork(db, &id)? {
                events::insert(db, &event)?;
                audit::insert(db, &audit)?;
            }
            Ok(())
        })
    }

    fn audit_batch_of(&self, log: LogId, sequence: u64) -> StoreFuture<'_, Option<StoredBatch>> {
        self.read(move |db| device_logs::batch_of(db, &log, sequence))
    }

    fn audit_batches(
        &self,
        log: LogId,
        first: u64,
        limit: u32,
    ) -> StoreFuture<'_, Vec<StoredBatch>> {
        self.read(move |db| device_logs::batches(db, &log, first, limit))
    }

    fn search_audit_batches(&self, query: BatchQuery) -> StoreFuture<'_, BatchPage> {
        self.read(move |db| device_logs::search(db, &query))
    }

    fn add_api_key(&self, key: ApiKey, audit: AuditEntry) -> StoreFuture<'_, ()> {
        self.write(move |db| {
            api_keys::insert(db, &key)?;
            audit::insert(db, &audit)
        })
    }

    fn api_key(&self, id: String) -> StoreFuture<'_, Option<ApiKey>> {
        self.read(move |db| api_keys::find(db, &id))
    }

    fn api_keys(&self) -> StoreFuture<'_, Vec<ApiKey>> {
        self.read(api_keys::list)
    }

    fn revoke_api_key(
        &self,
        id: String,
        at: OffsetDateTime,
        audit: AuditEntry,
    ) -> StoreFuture<'_, ApiKey> {
        self.write(move |db| {
            let key = api_keys::revoke(db, &id, at)?;
            audit::insert(db, &audit)?;
            Ok(key)
        })
    }

    fn ping(&self) -> StoreFuture<'_, ()> {
        self.read(|db| Ok(db.query_row("SELECT 1", [], |_| Ok(()))?))
    }
}
