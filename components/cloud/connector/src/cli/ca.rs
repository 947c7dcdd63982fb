//! `holdfast-cloud ca …`

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_audit_log::Actor;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::arguments::{self, AuthorityKeys, Connection};
use super::output::{Output, moment, optional_moment, table};
use super::{Client, Exit, serve};
use crate::audit::{Act, Operation};
use crate::ca::{
    CaFolder, CaId, IssuingCa, KeyError, Passphrase, Roster, read_root_key, retire, roll_issuing,
    roll_root, write_root_key,
};
use crate::data::DataFolder;
use crate::files;
use crate::management::types::{AuthorityDetail, CaKind};
use crate::store::{SqliteStore, Store as _};

/// How long a running server may take: it looks every two seconds, and opening an encrypted key
/// takes one more.
const TAKE_OVER: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a change led to.
#[derive(Serialize)]
struct Changed {
    authority: AuthorityDetail,
    server: ServerState,
    /// Where the key of a new root lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_root_key: Option<PathBuf>,
}

/// Whether the change is in force already.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum ServerState {
    InForce,
    NotRunning,
    NotConfirmed,
}

pub(super) async fn run(
    command: arguments::Ca,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let folder = connection.folder()?;
    let changed = match command {
        arguments::Ca::Show => {
            let roster = existing(&folder)?.roster().map_err(failed)?;
            return output.result(&AuthorityDetail::from(&roster), overview);
        }
        arguments::Ca::RollIssuing(keys) => {
            let change = Change::begin(folder, Act::RollIssuing).await?;
            let work = issuing(&change, &keys);
            change.end(work, None).await?
        }
        arguments::Ca::RollRoot { keys, new_root_key, new_root_passphrase_file } => {
            let change = Change::begin(folder, Act::RollRoot).await?;
            let work = new_root(&change, &keys, &new_root_key, new_root_passphrase_file.as_deref());
            change.end(work, Some(new_root_key)).await?
        }
        arguments::Ca::Retire { id, force, root_key, root_passphrase_file } => {
            let mut change = Change::begin(folder, Act::RetireAuthority).await?;
            change.target = id;
            // A server that still signs with what is retired would issue what nobody accepts: one
            // that has not taken the last change over yet is waited for.
            wait_for_server(&change.folder, &change.ca).await;
            let key = retirement_key(root_key.as_deref(), root_passphrase_file.as_deref());
            let work = match key {
                Ok(key) => retirement(&change, key, force).await,
                Err(exit) => Err(exit),
            };
            change.end(work, None).await?
        }
    };
    output.result(&changed, |changed| {
        let mut lines = vec![overview(&changed.authority), String::new()];
        if let Some(path) = &changed.new_root_key {
            lines.push(format!(
                "The new root's key is {}. It is not needed to serve: keep it off this machine.",
                path.display()
            ));
        }
        lines.push(changed.server.sentence().to_owned());
        lines.join("\n")
    })
}

impl ServerState {
    fn sentence(self) -> &'static str {
        match self {
            Self::InForce => "The running server uses it.",
            Self::NotRunning => "No server runs on this data folder; its next start uses it.",
            Self::NotConfirmed => {
                "The running server did not confirm it. It looks every two seconds; its log says \
                 \"took over the authority\", or what is wrong. If neither stands there, restart it."
            }
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Exit {
    Exit::Failed(error.to_string())
}

fn existing(folder: &DataFolder) -> Result<CaFolder, Exit> {
    let ca = folder.authority();
    if ca.exists() {
        return Ok(ca);
    }
    Err(Exit::Failed(
        "there is no certificate authority in this data folder yet; holdfast-cloud serve makes one"
            .to_owned(),
    ))
}

fn overview(authority: &AuthorityDetail) -> String {
    let rows: Vec<_> = authority
        .cas
        .iter()
        .map(|ca| {
            let kind = match ca.kind {
                CaKind::Root => "root",
                CaKind::Issuing => "issuing",
            };
            [
                ca.id.to_string(),
                kind.to_owned(),
                ca.name.clone(),
                moment(ca.not_after),
                optional_moment(ca.superseded_at),
                ca.sha256.clone(),
            ]
        })
        .collect();
    table(["ID", "KIND", "NAME", "UNTIL", "SUPERSEDED", "SHA256"], &rows)
}

/// A change of the authority, alone with its folder until it is in force.
struct Change {
    folder: DataFolder,
    ca: CaFolder,
    roster: Roster,
    store: SqliteStore,
    act: Act,
    actor: Actor,
    now: OffsetDateTime,
    /// What is to be changed.
    target: CaId,
    alone: File,
}

/// What is to be in force.
struct Work {
    roster: Roster,
    /// What the audit record names.
    target: CaId,
    /// Issuing CAs that are gone.
    gone: Vec<IssuingCa>,
}

impl Change {
    async fn begin(folder: DataFolder, act: Act) -> Result<Self, Exit> {
        let ca = existing(&folder)?;
        let waiting = folder.clone();
        let alone = tokio::task::spawn_blocking(move || waiting.lock_authority())
            .await
            .map_err(failed)??;
        let store = folder.open_store()?;
        let uid = std::fs::metadata("/proc/self").map_err(failed)?.uid();
        let now = arguments::now();
        let roster = ca.roster().map_err(failed)?;
        let target = roster.root.certificate.id().clone();
        let actor = Actor::user(uid);
        Ok(Self { folder, ca, roster, store, act, actor, now, target, alone })
    }

    fn operation(&self, target: &CaId) -> Operation {
        Operation::new(self.now, self.actor.clone(), self.act, target.as_str())
    }

    /// Puts the work in force. The record stands before the file does: a crash between the two
    /// leaves a record too many, never a change without one.
    async fn end(
        self,
        work: Result<Work, Exit>,
        new_root_key: Option<PathBuf>,
    ) -> Result<Changed, Exit> {
        let work = match work {
            Ok(work) => work,
            Err(exit) => {
                let operation = self.operation(&self.target);
                self.store
                    .record_audit(operation.failed(&exit.to_string()))
                    .await
                    .map_err(failed)?;
                return Err(exit);
            }
        };
        let operation = self.operation(&work.target);
        let gone: Vec<CaId> = work.gone.iter().map(|ca| ca.certificate.id().clone()).collect();
        let recorded = operation.done();
        self.store.retire_issuers(gone, self.now, recorded).await.map_err(failed)?;
        if let Err(error) = self.ca.commit(&work.roster) {
            self.store.record_audit(operation.failed(&error.to_string())).await.map_err(failed)?;
            return Err(failed(error));
        }
        for ca in &work.gone {
            self.ca.remove_key(ca).map_err(failed)?;
        }
        let authority = AuthorityDetail::from(&work.roster);
        // What follows only reads; the next command need not wait for it.
        let Self { folder, ca, store, alone, .. } = self;
        drop((alone, store));
        let server = wait_for_server(&folder, &ca).await;
        Ok(Changed { authority, server, new_root_key })
    }
}

/// Until the server uses what is in the folder: this change, and those that came after it.
async fn wait_for_server(folder: &DataFolder, ca: &CaFolder) -> ServerState {
    if !folder.is_served() {
        return ServerState::NotRunning;
    }
    let deadline = Instant::now() + TAKE_OVER;
    while Instant::now() < deadline {
        let wanted = ca.roster().ok().map(|roster| AuthorityDetail::from(&roster));
        let found = asks_server(folder).await;
        if found.zip(wanted).is_some_and(|(found, wanted)| same(&found, &wanted)) {
            return ServerState::InForce;
        }
        sleep(LOOK_EVERY).await;
    }
    ServerState::NotConfirmed
}

async fn asks_server(folder: &DataFolder) -> Option<AuthorityDetail> {
    let url = arguments::local_url(folder.read_endpoints().ok()?.management);
    let roots = files::read(&folder.root_certificate()).ok()?;
    let key = files::read_text(&folder.admin_key()).ok()?;
    Client::new(&url, &roots, &key).ok()?.get("/api/v1/authority").await.ok()
}

fn same(found: &AuthorityDetail, wanted: &AuthorityDetail) -> bool {
    let certificates = |detail: &AuthorityDetail| -> Vec<String> {
        detail.cas.iter().map(|ca| ca.sha256.clone()).collect()
    };
    certificates(found) == certificates(wanted)
}

fn root_key(change: &Change, given: &AuthorityKeys) -> Result<rcgen::KeyPair, Exit> {
    let passphrase = serve::passphrase(given.root_passphrase_file.as_deref())?;
    let path = given.root_key.clone().unwrap_or_else(|| change.ca.first_root_key());
    read_root_key(&path, passphrase.as_ref()).map_err(|error| match error {
        KeyError::File(error) if error.is_not_found() => Exit::Failed(format!(
            "{error}; bring the root's key back from where it is kept and name it with --root-key"
        )),
        error => failed(error),
    })
}

fn issuing_passphrase(change: &Change, given: &AuthorityKeys) -> Result<Option<Passphrase>, Exit> {
    let passphrase = serve::passphrase(given.issuing_passphrase_file.as_deref())?;
    change.ca.check_passphrase(&change.roster, passphrase.as_ref()).map_err(failed)?;
    Ok(passphrase)
}

fn issuing(change: &Change, given: &AuthorityKeys) -> Result<Work, Exit> {
    let passphrase = issuing_passphrase(change, given)?;
    let key = root_key(change, given)?;
    let new = roll_issuing(&change.roster, key, change.now).map_err(failed)?;
    change.ca.write_issuing_key(&new.roster, &new.key, passphrase.as_ref()).map_err(failed)?;
    let target = new.roster.current().map_err(failed)?.certificate.id().clone();
    Ok(Work { roster: new.roster, target, gone: Vec::new() })
}

fn new_root(
    change: &Change,
    given: &AuthorityKeys,
    new_key: &Path,
    new_passphrase: Option<&Path>,
) -> Result<Work, Exit> {
    let passphrase = issuing_passphrase(change, given)?;
    let new_passphrase = serve::passphrase(new_passphrase)?;
    let key = root_key(change, given)?;
    let new = roll_root(&change.roster, key, change.now).map_err(failed)?;
    write_root_key(new_key, &new.root_key, new_passphrase.as_ref()).map_err(failed)?;
    let written = change.ca.write_issuing_key(&new.roster, &new.issuing_key, passphrase.as_ref());
    written.map_err(failed)?;
    let target = new.roster.root.certificate.id().clone();
    Ok(Work { roster: new.roster, target, gone: Vec::new() })
}

fn retirement_key(
    path: Option<&Path>,
    passphrase: Option<&Path>,
) -> Result<Option<rcgen::KeyPair>, Exit> {
    let passphrase = serve::passphrase(passphrase)?;
    path.map(|path| read_root_key(path, passphrase.as_ref())).transpose().map_err(failed)
}

async fn retirement(
    change: &Change,
    key: Option<rcgen::KeyPair>,
    force: bool,
) -> Result<Work, Exit> {
    let id = &change.target;
    let retired = retire(&change.roster, id, key, change.now).map_err(failed)?;
    let gone: Vec<CaId> = retired.issuing.iter().map(|ca| ca.certificate.id().clone()).collect();
    let devices = change.store.devices_of_issuers(gone, change.now).await.map_err(failed)?;
    if devices > 0 && !force {
        return Err(Exit::Failed(format!(
            "{devices} devices use certificates below {id}: they renew by themselves within 70 \
             days, or enrol again at once if you retire it with --force"
        )));
    }
    Ok(Work { roster: retired.roster, target: id.clone(), gone: retired.issuing })
}
