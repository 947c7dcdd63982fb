//! The gate that every call passes: who calls, may he, and the record of it.

use std::{future::Future, sync::Arc};

use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use time::OffsetDateTime;
use zbus::{Connection, message::Header};

use crate::{AuditSink, CallError, Caller, ErrorKind, Role, RoleGroups, process::ProcFs};

/// What is called, for the record.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Stable name of the operation, as in `identity.sign`.
    pub action: &'static str,
    /// What it works on, as in the name of a key.
    pub target: &'a str,
    /// The arguments; the record holds their digest. Leave secrets out: a digest of a short
    /// secret gives it away.
    pub arguments: &'a [&'a [u8]],
}

/// Authorizes callers of one daemon and writes its audit records.
#[derive(Clone)]
pub struct Guard {
    source: Source,
    groups: RoleGroups,
    proc_fs: ProcFs,
    sink: Arc<dyn AuditSink>,
}

impl Guard {
    /// A guard for the daemon of this short name, as in `enroller`.
    pub fn new(
        daemon: &str,
        groups: RoleGroups,
        sink: Arc<dyn AuditSink>,
    ) -> Result<Self, holdfast_audit_log::Error> {
        Ok(Self { source: Source::device(daemon)?, groups, proc_fs: ProcFs::default(), sink })
    }

    /// Finds out who calls. A caller who cannot be found out is refused and recorded.
    pub async fn caller(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        call: &Call<'_>,
    ) -> Result<Caller, CallError> {
        match Caller::of(connection, header, &self.groups, &self.proc_fs).await {
            Ok(caller) => Ok(caller),
            Err(error) => {
                let sender = header.sender().map_or("", |sender| sender.as_str());
                let actor = Actor { name: Some(Text::lossy(sender)), ..Actor::system() };
                let record = self.record(call, actor)?.denied(Text::lossy(&error.message));
                self.write(&record).await?;
                Err(error)
            }
        }
    }

    /// Lets a caller of at least this role through, for a call that only reads. Only a refusal is
    /// recorded.
    pub async fn authorize(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        required: Role,
        call: &Call<'_>,
    ) -> Result<Caller, CallError> {
        let caller = self.caller(connection, header, call).await?;
        self.admit_reader(call, &caller, caller.require(required)).await?;
        Ok(caller)
    }

    /// Lets a reader through by a decision made elsewhere. Only a refusal is recorded.
    pub async fn admit_reader(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        decision: Result<(), String>,
    ) -> Result<(), CallError> {
        self.refuse_if_denied(call, caller, decision).await
    }

    /// Runs a call whose only effect is its answer: one record says what came of it, and the
    /// answer leaves only when that record is written.
    pub async fn answer<T>(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        decision: Result<(), String>,
        operation: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        self.refuse_if_denied(call, caller, decision).await?;
        let result = operation.await;
        let mut record = self.record(call, caller.actor())?;
        if let Err(error) = &result {
            record = record.failed(Text::lossy(&error.message));
        }
        self.write(&record).await?;
        result
    }

    /// Runs a call that changes state: it starts only when its record is written, and a second
    /// record follows if it fails.
    pub async fn change<T>(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        decision: Result<(), String>,
        operation: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        self.refuse_if_denied(call, caller, decision).await?;
        let record = self.record(call, caller.actor())?;
        self.write(&record).await?;
        let result = operation.await;
        if let Err(error) = &result {
            let failed = self.record(call, caller.actor())?.failed(Text::lossy(&error.message));
            // The operation is over and has failed: its own error says more than a lost record.
            if let Err(lost) = self.write(&failed).await {
                tracing::error!(action = call.action, "{lost}");
            }
        }
        result
    }

    async fn refuse_if_denied(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        decision: Result<(), String>,
    ) -> Result<(), CallError> {
        let Err(reason) = decision else { return Ok(()) };
        let record = self.record(call, caller.actor())?.denied(Text::lossy(&reason));
        self.write(&record).await?;
        Err(CallError::new(ErrorKind::AccessDenied, reason))
    }

    fn record(&self, call: &Call<'_>, actor: Actor) -> Result<AuditRecord, CallError> {
        let action = Action::new(call.action)
            .map_err(|error| CallError::new(ErrorKind::AuditUnavailable, error.to_string()))?;
        let now = OffsetDateTime::now_utc();
        Ok(AuditRecord::new(now, self.source.clone(), actor, action, Text::lossy(call.target))
            .with_arguments(call.arguments))
    }

    async fn write(&self, record: &AuditRecord) -> Result<(), CallError> {
        self.sink.record(record).await.map_err(|error| {
            CallError::new(
                ErrorKind::AuditUnavailable,
                format!(
                    "refused, since {error}; see `systemctl status holdfast-audit systemd-journald`"
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use holdfast_audit_log::{Decision, Outcome};

    use super::*;
    use crate::audit::{AuditError, Recorded};

    #[derive(Default)]
    struct Memory {
        records: Mutex<Vec<AuditRecord>>,
        full: bool,
    }

    impl AuditSink for Memory {
        fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a> {
            let result = if self.full {
                Err(AuditError::new("memory", &"full"))
            } else {
                self.records.lock().unwrap().push(record.clone());
                Ok(())
            };
            Box::pin(std::future::ready(result))
        }
    }

    fn guard(full: bool) -> (Guard, Arc<Memory>) {
        let sink = Arc::new(Memory { full, ..Memory::default() });
        (Guard::new("enroller", RoleGroups::default(), sink.clone()).unwrap(), sink)
    }

    fn caller() -> Caller {
        Caller { uid: 1000, role: None, pid: None, login_uid: None, unit: None, program: None }
    }

    const CALL: Call<'_> = Call { action: "identity.sign", target: "tls", arguments: &[b"x"] };

    fn verdicts(sink: &Memory) -> Vec<(Decision, Outcome, Option<String>)> {
        let records = sink.records.lock().unwrap();
        records.iter().map(|r| (r.decision(), r.outcome(), r.reason().map(str::to_owned))).collect()
    }

    #[tokio::test]
    async fn one_record_per_call() {
        let broken = || CallError::new(ErrorKind::Tpm, "the TPM is gone");
        let failed = Some("the TPM is gone".to_owned());

        let (guard, sink) = guard(false);
        assert_eq!(guard.answer(&CALL, &caller(), Ok(()), async { Ok(7) }).await, Ok(7));
        assert_eq!(verdicts(&sink), [(Decision::Allowed, Outcome::Ok, None)]);

        sink.records.lock().unwrap().clear();
        let result = guard.answer(&CALL, &caller(), Ok(()), async { Err::<(), _>(broken()) }).await;
        assert_eq!(result, Err(broken()));
        assert_eq!(verdicts(&sink), [(Decision::Allowed, Outcome::Failed, failed.clone())]);

        sink.records.lock().unwrap().clear();
        let result = guard.change(&CALL, &caller(), Ok(()), async { Err::<(), _>(broken()) }).await;
        assert_eq!(result, Err(broken()));
        assert_eq!(
            verdicts(&sink),
            [(Decision::Allowed, Outcome::Ok, None), (Decision::Allowed, Outcome::Failed, failed)]
        );
    }

    #[tokio::test]
    async fn a_denied_call_does_not_run() {
        let (guard, sink) = guard(false);
        let denied = || Err("no role".to_owned());
        let run = || async { panic!("ran") };
        for result in [
            guard.answer::<()>(&CALL, &caller(), denied(), run()).await,
            guard.change::<()>(&CALL, &caller(), denied(), run()).await,
        ] {
            assert_eq!(result, Err(CallError::new(ErrorKind::AccessDenied, "no role")));
        }
        let denied = (Decision::Denied, Outcome::Failed, Some("no role".to_owned()));
        assert_eq!(verdicts(&sink), [denied.clone(), denied]);
    }

    #[tokio::test]
    async fn no_record_no_call() {
        let (guard, _) = guard(true);
        let ran = Mutex::new(false);
        let run = || async {
            *ran.lock().unwrap() = true;
            Ok(())
        };
        let changed = guard.change(&CALL, &caller(), Ok(()), run()).await.unwrap_err();
        assert_eq!(changed.kind, ErrorKind::AuditUnavailable);
        assert!(!*ran.lock().unwrap(), "a change must not start without its record");
        let answered = guard.answer(&CALL, &caller(), Ok(()), run()).await.unwrap_err();
        assert_eq!(answered.kind, ErrorKind::AuditUnavailable);
        assert!(answered.message.contains("systemd-journald"), "{answered}");
    }
}
