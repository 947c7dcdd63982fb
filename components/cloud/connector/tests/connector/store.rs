//! The store under concurrency and across restarts.

use std::sync::Arc;

use holdfast_attestation::edge_id::EdgeId;
use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use holdfast_cloud::registry::{Approval, Binding, Digest, NewDevice};
use holdfast_cloud::store::{
    AuditEntry, AuditFilter, DeviceFilter, SqliteStore, Store, StoreError,
};
use time::OffsetDateTime;
use uuid::Uuid;

fn device(edge_id: &str, ek: u8) -> NewDevice {
    NewDevice {
        id: Uuid::new_v4(),
        tenant: "demo".parse().unwrap(),
        edge_id: EdgeId::parse(edge_id).unwrap(),
        binding: Binding::EkSha256,
        ek_sha256: Some(Digest([ek; 32])),
        secret: None,
        not_after: None,
        approval: Approval::Auto,
        quote_mode: None,
        group: None,
        note: None,
        at: OffsetDateTime::UNIX_EPOCH,
        by: "test".into(),
    }
}

fn audit() -> AuditEntry {
    let record = AuditRecord::new(
        OffsetDateTime::UNIX_EPOCH,
        Source::cloud(),
        Actor::system(),
        Action::new("registry.register").unwrap(),
        Text::lossy("test"),
    );
    AuditEntry { record, tenant: None, device_id: None }
}

async fn counts(store: &dyn Store) -> (usize, usize) {
    let devices = DeviceFilter { limit: 1000, ..DeviceFilter::default() };
    let records = AuditFilter { limit: 1000, ..AuditFilter::default() };
    let devices = store.devices(devices).await.unwrap().len();
    (devices, store.audit_records(records).await.unwrap().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_registrations_at_once_each_conflict_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("db")).unwrap());
    // 64 devices, and for each a rival that wants the same TPM under another name.
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64_u8 {
        for rival in ["A", "B"] {
            let store = Arc::clone(&store);
            let device = device(&format!("{rival}-{number}"), number);
            tasks.spawn(async move { store.register(device, audit()).await });
        }
    }
    let mut registered = 0;
    while let Some(result) = tasks.join_next().await {
        match result.unwrap() {
            Ok(_) => registered += 1,
            Err(StoreError::Conflict { code: "tpm-registered", .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(registered, 64);
    assert_eq!(counts(store.as_ref()).await, (64, 64));

    drop(store);
    let store = SqliteStore::open(&folder.path().join("db")).unwrap();
    assert_eq!(counts(&store).await, (64, 64));
}

#[tokio::test]
async fn audit_records_cannot_be_changed_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = SqliteStore::open(&path).unwrap();
    store.record_audit(audit()).await.unwrap();
    let foreign = rusqlite::Connection::open(&path).unwrap();
    for change in ["UPDATE audit SET record = ''", "DELETE FROM audit"] {
        let error = foreign.execute(change, []).unwrap_err().to_string();
        assert!(error.contains("audit records are never"), "{error}");
    }
}
