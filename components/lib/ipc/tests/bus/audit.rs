//! `org.holdfast.Audit1`: who may what, and what is recorded of it.

use std::sync::{Arc, Mutex};

use holdfast_audit_log::AuditRecord;
use holdfast_ipc::audit1::{
    Audit1Backend, AuditSources, BUS_NAME, INTERFACE, OBJECT_PATH, Page, Record, serve,
};
use holdfast_ipc::{CallError, Guard};
use zbus::Connection;

use super::client::{Cast, Who, call_service, can_be_others};
use super::introspection::{Described, assert_as_committed};
use super::private_bus::OPEN;
use super::private_bus::PrivateBus;
use super::service::Log;

/// Keeps records in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<AuditRecord>>>);

impl Audit1Backend for Memory {
    async fn record(&self, record: Record) -> Result<Option<u64>, CallError> {
        let mut records = self.0.lock().unwrap();
        records.push(record.record);
        Ok(Some(records.len() as u64 - 1))
    }

    async fn status(&self) -> Result<String, CallError> {
        Ok("{}".to_owned())
    }

    async fn flush(&self) -> Result<u64, CallError> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    async fn export(&self, _: u64) -> Result<Page, CallError> {
        Ok(Page { segments: Vec::new(), next: 0 })
    }
}

async fn start(bus: &PrivateBus) -> (Connection, Memory, Arc<Log>) {
    let (memory, log) = (Memory::default(), Arc::new(Log::default()));
    let connection = bus.connect().await;
    let guard = Guard::new("audit", Cast::of_this_machine().groups(), log.clone()).unwrap();
    let sources = "[[source]]\nname = \"enroller\"\nunit = \"holdfast-enroll.service\"";
    let sources = AuditSources::parse(sources).unwrap();
    serve(&connection, memory.clone(), guard, sources).await.unwrap();
    (connection, memory, log)
}

#[tokio::test]
async fn introspection_equals_the_committed_audit_interface() {
    let bus = PrivateBus::start(OPEN);
    let (_connection, ..) = start(&bus).await;
    let described = Described {
        bus_name: BUS_NAME,
        path: OBJECT_PATH,
        interface: INTERFACE,
        file: "org.holdfast.Audit1.xml",
    };
    assert_as_committed(&bus.connect().await, &described).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_read_by_role_and_written_by_listed_units_alone() {
    if !can_be_others() {
        return;
    }
    let Cast { stranger, viewer, operator, admin, .. } = Cast::of_this_machine();
    let bus = PrivateBus::start(OPEN);
    let (_connection, memory, log) = start(&bus).await;
    let call = |who: Who, method: &str, arguments: &[&str]| {
        let method = format!("org.holdfast.Audit1.{method}");
        call_service(&bus, who, "Audit1", &method, arguments)
    };
    for (who, may_look, may_export) in
        [(stranger, false, false), (viewer, true, false), (operator, true, true)]
    {
        assert_eq!(call(who, "Status", &[]).is_ok(), may_look, "{}", who.uid);
        let refusals = usize::from(!may_look);
        assert_eq!(log.take().len(), refusals, "only a refused look is recorded");
        for (method, arguments) in [("Flush", &[][..]), ("Export", &["0"][..])] {
            let answer = call(who, method, arguments);
            assert_eq!(answer.is_ok(), may_export, "{method} by {}: {answer:?}", who.uid);
            let recorded = log.take();
            let decision = if may_export { "Allowed Ok" } else { "Denied Failed" };
            let expected = format!("audit.{}  {decision} uid={}", method.to_lowercase(), who.uid);
            assert_eq!(recorded, [expected]);
        }
    }
    // Nobody forges a record, whatever his role: he is no listed unit.
    let forged = r#"{"time":"2026-11-22T10:00:00Z","source":"device:enroller","actor":
        {"kind":"system"},"action":"identity.enrol","target":"x","arguments_sha256":
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "decision":"allowed","outcome":"ok"}"#;
    for record in [forged, "{}"] {
        let refused = call(admin, "Record", &["authentication", record]).unwrap_err();
        assert!(refused.contains("AccessDenied"), "{refused}");
        let expected = format!("audit.record authentication Denied Failed uid={}", admin.uid);
        assert_eq!(log.take(), [expected]);
    }
    assert!(memory.0.lock().unwrap().is_empty());
}
