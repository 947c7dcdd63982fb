//! A bus with an identity service on it whose "TPM" is a key in memory, and a USB service that writes
//! down what it is told to do.

use std::{fs, process::Command, sync::Arc};

use holdfast_audit_log::AuditRecord;
use holdfast_ipc::usb::{self, UsbEvents};
use holdfast_ipc::{
    Audience, AuditSink, CallError, ErrorKind, Guard, IdentityPolicy, Name, RoleGroups,
    allow_list::SignScheme,
    audit::Recorded,
    identity::{
        Certified, Connector, IdentityBackend, IdentityStatus, State, StatusPublisher, Token, serve,
    },
};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use zbus::Connection;
use zeroize::Zeroizing;

#[path = "../../../../lib/ipc/tests/bus/private_bus.rs"]
mod private_bus;
#[path = "../../../../lib/ipc/tests/bus/usb/backend.rs"]
pub mod usb_backend;

use private_bus::{OPEN, PrivateBus};
use usb_backend::Recorder;

pub struct World {
    bus: PrivateBus,
    pub status: StatusPublisher,
    pub connection: Connection,
    pub usb: Arc<Recorder>,
    pub usb_events: UsbEvents,
}

#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

struct Nowhere;

impl AuditSink for Nowhere {
    fn record<'a>(&'a self, _: &'a AuditRecord) -> Recorded<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Seals under a key of its own, as each TPM does.
struct Software {
    key: LessSafeKey,
}

impl Software {
    fn new() -> Self {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).unwrap();
        Self { key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap()) }
    }
}

impl IdentityBackend for Software {
    async fn sign(&self, _: &Name, _: SignScheme, _: &[u8]) -> Result<Vec<u8>, CallError> {
        Err(CallError::new(ErrorKind::NotReady, "no key"))
    }

    async fn certify(&self, _: &Name, qualifying: &[u8]) -> Result<Certified, CallError> {
        let part = |text: &[u8]| [text, qualifying].concat();
        Ok(Certified { public: part(b"p"), attest: part(b"a"), signature: part(b"s") })
    }
    async fn connector(&self) -> Result<Connector, CallError> {
        Err(CallError::new(ErrorKind::NotReady, "no connector yet"))
    }
    async fn certificate_chain(&self) -> Result<String, CallError> {
        Ok(include_str!("../data/rsa-attested.pem").to_owned())
    }

    async fn seal(&self, plaintext: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, CallError> {
        let mut nonce = [0; 12];
        SystemRandom::new().fill(&mut nonce).unwrap();
        let mut sealed = plaintext.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .unwrap();
        Ok([&nonce[..], &sealed].concat())
    }

    async fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CallError> {
        let not_ours = || CallError::new(ErrorKind::NotOurs, "the TPM does not know these bytes");
        let (nonce, sealed) = sealed.split_at_checked(12).ok_or_else(not_ours)?;
        let mut plaintext = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce.try_into().unwrap());
        let opened = self.key.open_in_place(nonce, Aad::empty(), &mut plaintext);
        Ok(Zeroizing::new(opened.map_err(|_| not_ours())?.to_vec()))
    }

    async fn renew(&self) -> Result<String, CallError> {
        Ok("0d0e0f".to_owned())
    }

    async fn re_enroll(&self) -> Result<String, CallError> {
        Err(CallError::new(ErrorKind::Failed, "the server refused: suspended"))
    }

    async fn token(&self, audience: &Audience) -> Result<Token, CallError> {
        if audience.as_str() == "telemetry" {
            return Ok(Token { token: "e30.e30.c2ln".to_owned(), expires: 4_000_000_000 });
        }
        Err(CallError::new(ErrorKind::Failed, "the server refused: audience-not-allowed"))
    }

    async fn check(&self) -> Result<String, CallError> {
        Ok(r#"[{"id":"identity-keys","outcome":"ok","text":"The keys are there."}]"#.to_owned())
    }
}

impl World {
    pub async fn start() -> Self {
        let bus = PrivateBus::start(OPEN);
        let connection = bus.connect().await;
        // Whoever runs the tests is an operator here.
        let gid = own_gid();
        let groups = RoleGroups { viewer: Some(gid), operator: Some(gid), admin: None };
        let guard = Guard::new("enroller", groups, Arc::new(Nowhere)).unwrap();
        let policy = IdentityPolicy::parse(
            "[[token]]\naudience = \"*\"\nrole = \"operator\"\n\
             [[token]]\naudience = \"closed\"\nunits = [\"agent.service\"]\n[seal]\nrole = \"operator\"",
        )
        .unwrap();
        let (status, changes) = StatusPublisher::new(IdentityStatus {
            state: State::WaitingForApproval,
            edge_id: "EDGE-1".into(),
            ek_sha256: "ab".repeat(32),
            ..IdentityStatus::default()
        });
        serve(&connection, Software::new(), guard, policy, status.clone(), changes).await.unwrap();

        let groups = RoleGroups { admin: Some(gid), ..groups };
        let guard = Guard::new("usb", groups, Arc::new(Nowhere)).unwrap();
        let (usb, (usb_events, events)) = (Arc::new(Recorder::default()), UsbEvents::new());
        usb::serve(&connection, usb.clone(), guard, events).await.unwrap();
        Self { bus, status, connection, usb, usb_events }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(arguments).env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus.address);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        finish(&mut self.command(arguments))
    }

    pub fn run_without_bus(arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(arguments).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
        finish(&mut command)
    }
}

fn finish(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn own_gid() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Gid:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
