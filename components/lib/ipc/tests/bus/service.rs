//! The service under test with a software backend and a sink that can be read.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use holdfast_audit_log::AuditRecord;
use holdfast_ipc::{
    Audience, AuditSink, CallError, ErrorKind, Guard, IdentityPolicy, Name,
    allow_list::SignScheme,
    audit::{AuditError, Recorded},
    identity::{
        Certified, Connector, IdentityBackend, IdentityStatus, State, StatusPublisher, Token, serve,
    },
};
use zbus::Connection;
use zeroize::Zeroizing;

use super::{client::Cast, private_bus::PrivateBus};

/// Records as the test sees them; refuses when told that the log is full.
#[derive(Default)]
pub struct Log {
    records: Mutex<Vec<AuditRecord>>,
    pub full: AtomicBool,
}

impl Log {
    /// Takes what was recorded: action, target, decision, outcome, uid.
    pub fn take(&self) -> Vec<String> {
        let records = std::mem::take(&mut *self.records.lock().unwrap());
        records
            .iter()
            .map(|record| {
                format!(
                    "{} {} {:?} {:?} uid={:?}",
                    record.action(),
                    record.target(),
                    record.decision(),
                    record.outcome(),
                    record.actor().uid.unwrap()
                )
            })
            .collect()
    }
}

impl AuditSink for Log {
    fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a> {
        let result = if self.full.load(Ordering::SeqCst) {
            Err(AuditError::new("the log", &"no space"))
        } else {
            self.records.lock().unwrap().push(record.clone());
            Ok(())
        };
        Box::pin(std::future::ready(result))
    }
}

/// "Signs" by repeating the digest, "seals" by a bitwise not.
struct Software;

impl IdentityBackend for Software {
    async fn sign(&self, _: &Name, _: SignScheme, digest: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(digest.repeat(2))
    }
    async fn certify(&self, _: &Name, qualifying: &[u8]) -> Result<Certified, CallError> {
        let part = |text: &[u8]| [text, qualifying].concat();
        Ok(Certified { public: part(b"p"), attest: part(b"a"), signature: part(b"s") })
    }
    async fn connector(&self) -> Result<Connector, CallError> {
        Err(CallError::new(ErrorKind::NotReady, "no connector yet"))
    }
    async fn certificate_chain(&self) -> Result<String, CallError> {
        Err(CallError::new(ErrorKind::NotReady, "no certificate yet: see `holdfast status`"))
    }
    async fn seal(&self, plaintext: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, CallError> {
        Ok(plaintext.iter().map(|byte| !byte).collect())
    }
    async fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CallError> {
        Ok(Zeroizing::new(sealed.iter().map(|byte| !byte).collect()))
    }
    async fn renew(&self) -> Result<String, CallError> {
        Ok("0a0b".to_owned())
    }
    async fn re_enroll(&self) -> Result<String, CallError> {
        Err(CallError::new(ErrorKind::Failed, "the server refused: suspended"))
    }
    async fn token(&self, audience: &Audience) -> Result<Token, CallError> {
        Ok(Token { token: format!("a.{audience}.c"), expires: 42 })
    }
    async fn check(&self) -> Result<String, CallError> {
        Ok("[]".to_owned())
    }
}

pub struct Service {
    pub connection: Connection,
    pub status: StatusPublisher,
    pub log: Arc<Log>,
}

impl Service {
    pub async fn start(bus: &PrivateBus) -> Self {
        let connection = bus.connect().await;
        let log = Arc::new(Log::default());
        let guard = Guard::new("enroller", Cast::of_this_machine().groups(), log.clone()).unwrap();
        let policy = IdentityPolicy::parse(
            "[[sign]]\nkey = \"tls\"\nschemes = [\"rsa-pss-sha256\"]\nrole = \"admin\"\n\
             [[token]]\naudience = \"telemetry\"\nrole = \"admin\"\n\
             [seal]\nrole = \"operator\"",
        )
        .unwrap();
        let (status, changes) = StatusPublisher::new(IdentityStatus {
            state: State::Preparing,
            edge_id: "EDGE-1".into(),
            ..IdentityStatus::default()
        });
        serve(&connection, Software, guard, policy, status.clone(), changes).await.unwrap();
        Self { connection, status, log }
    }
}
