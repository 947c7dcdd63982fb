//! The service's side: callers are authorized here, so that a backend only does the work.

use holdfast_audit_log::AuditRecord;
use holdfast_audit_log::frame::Class;
use zbus::OwnedFd;
use zbus::{Connection, interface, message::Header};

use super::{Audit1Backend, AuditSources, BUS_NAME, OBJECT_PATH, Record};
use crate::{Call, CallError, ErrorKind, Guard, Role};

/// What stands for the sequence number of a record that is counted with others.
const COUNTED: u64 = u64::MAX;

/// The object at [`OBJECT_PATH`].
pub struct Audit1<B: Audit1Backend> {
    backend: B,
    guard: Guard,
    sources: AuditSources,
}

/// Puts the object on the bus and takes its name.
pub async fn serve<B: Audit1Backend>(
    connection: &Connection,
    backend: B,
    guard: Guard,
    sources: AuditSources,
) -> zbus::Result<()> {
    connection.object_server().at(OBJECT_PATH, Audit1 { backend, guard, sources }).await?;
    connection.request_name(BUS_NAME).await
}

fn invalid(message: String) -> CallError {
    CallError::new(ErrorKind::InvalidArgs, message)
}

#[interface(name = "org.holdfast.Audit1", introspection_docs = false)]
impl<B: Audit1Backend> Audit1<B> {
    #[zbus(out_args("sequence"))]
    async fn record(
        &self,
        class: String,
        record: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u64, CallError> {
        let call = Call { action: "audit.record", target: &class, arguments: &[record.as_bytes()] };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let parsed = AuditRecord::from_json(&record);
        let decision = match &parsed {
            Ok(record) => self.sources.may_record(&caller, record.source()),
            // Who may write no record learns nothing from his arguments.
            Err(_) => self.sources.may_record(&caller, &holdfast_audit_log::Source::cloud()),
        };
        if parsed.is_ok() || caller.unit.is_none() {
            self.guard.admit_reader(&call, &caller, decision).await?;
        }
        let record = parsed.map_err(|error| invalid(format!("the record: {error}")))?;
        let class = Class::from_name(&class)
            .ok_or_else(|| invalid(format!("{class:?} is not a class of records")))?;
        let kept = self.backend.record(Record { class, record }).await?;
        Ok(kept.unwrap_or(COUNTED))
    }

    #[zbus(out_args("json"))]
    async fn status(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let call = Call { action: "audit.status", target: "", arguments: &[] };
        self.guard.authorize(connection, &header, Role::Viewer, &call).await?;
        self.backend.status().await
    }

    #[zbus(out_args("size"))]
    async fn flush(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u64, CallError> {
        let call = Call { action: "audit.flush", target: "", arguments: &[] };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let decision = caller.require(Role::Operator);
        self.guard.change(&call, &caller, decision, self.backend.flush()).await
    }

    #[zbus(out_args("segments", "next"))]
    async fn export(
        &self,
        since: u64,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(Vec<OwnedFd>, u64), CallError> {
        let arguments: [&[u8]; 1] = [&since.to_be_bytes()];
        let call = Call { action: "audit.export", target: "", arguments: &arguments };
        let caller = self.guard.caller(connection, &header, &call).await?;
        let decision = caller.require(Role::Operator);
        let page = self.guard.answer(&call, &caller, decision, self.backend.export(since)).await?;
        Ok((page.segments.into_iter().map(OwnedFd::from).collect(), page.next))
    }
}
