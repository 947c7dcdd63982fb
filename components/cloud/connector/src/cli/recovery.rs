//! `holdfast-cloud recovery …`: `open` and `new-key` work on the operator's machine; his private
//! key goes nowhere.

use std::path::{Path, PathBuf};

use holdfast_recovery::{Operator, Statement};
use rand_core::OsRng;
use serde::Serialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::arguments::{self, Connection, DeviceName, RecoveryNewKey, RecoveryOpen};
use super::device::path;
use super::output::{Output, moment, table};
use super::{Client, Exit};
use crate::files::{self, Readers};
use crate::management::types::Items;
use crate::recovery::{RecoveryKeySummary, StoredRecoveryKey};

pub(super) async fn run(
    command: arguments::Recovery,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    use arguments::Recovery as Verb;
    match command {
        Verb::NewKey(wanted) => new_key(&wanted, output),
        Verb::List { tenant } => {
            let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
            let path = format!("/api/v1/recovery-keys{query}");
            let keys: Items<RecoveryKeySummary> = connection.client()?.get(&path).await?;
            output.result(&keys, |keys| overview(&keys.items))
        }
        Verb::Show(device) => {
            let path = path(&device, "/recovery-key")?;
            let keys: Items<RecoveryKeySummary> = connection.client()?.get(&path).await?;
            output.result(&keys, |keys| overview(&keys.items))
        }
        Verb::Export { device, out } => {
            let newest = fetch(&connection.client()?, &device).await?;
            if let Some(out) = &out {
                files::write(out, newest.message.as_bytes(), Readers::Owner).map_err(failed)?;
            }
            output.result(&newest, |newest| match &out {
                Some(out) => format!("{} written", out.display()),
                None => newest.message.clone(),
            })
        }
        Verb::Open(wanted) => open(&wanted, connection, output).await,
    }
}

fn failed(error: impl std::fmt::Display) -> Exit {
    Exit::Failed(error.to_string())
}

/// The key in force, newest first.
async fn fetch(client: &Client, device: &DeviceName) -> Result<StoredRecoveryKey, Exit> {
    let path = path(device, "/recovery-key/export")?;
    let keys: Items<StoredRecoveryKey> = client.post(&path, &()).await?;
    keys.items.into_iter().next().ok_or_else(|| failed("the server gave no recovery key"))
}

/// An opened recovery key.
#[derive(Serialize)]
struct Opened {
    edge_id: String,
    luks_uuid: String,
    keyslot: u32,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    occasion: holdfast_recovery::Occasion,
    recovery_key: Zeroizing<String>,
}

async fn open(wanted: &RecoveryOpen, connection: &Connection, output: &Output) -> Result<(), Exit> {
    // Looked at first: a key that cannot be opened need not be fetched, which is recorded.
    let operator = operator(&wanted.key, wanted.passphrase_file.as_deref())?;
    let file = Path::new(&wanted.source.name);
    let statement = if file.is_file() {
        Statement::open(&files::read_text(file).map_err(failed)?, &operator).map_err(failed)?
    } else {
        let stored = fetch(&connection.client()?, &wanted.source).await?;
        let statement = Statement::open(&stored.message, &operator).map_err(failed)?;
        agree(&statement, &stored.summary)?;
        statement
    };
    let opened = Opened {
        edge_id: statement.edge_id,
        luks_uuid: statement.luks_uuid,
        keyslot: statement.keyslot,
        created: statement.created,
        occasion: statement.occasion,
        recovery_key: Zeroizing::new(statement.key.as_str().to_owned()),
    };
    output.result(&opened, |opened| {
        format!(
            "Edge ID       {}\nvolume        {}\nkey slot      {}\nmade          {}\nrecovery key  {}",
            opened.edge_id,
            opened.luks_uuid,
            opened.keyslot,
            moment(opened.created),
            *opened.recovery_key
        )
    })
}

/// A server, or who has its database, must not pass one device's key off as another's.
fn agree(statement: &Statement, summary: &RecoveryKeySummary) -> Result<(), Exit> {
    if statement.edge_id == summary.edge_id && statement.luks_uuid == summary.luks_uuid {
        return Ok(());
    }
    Err(Exit::Failed(format!(
        "the server gave a recovery key of device {} (volume {}) for device {} (volume {}); it is \
         not shown",
        statement.edge_id, statement.luks_uuid, summary.edge_id, summary.luks_uuid
    )))
}

fn operator(key: &Path, passphrase_file: Option<&Path>) -> Result<Operator, Exit> {
    let pem = Zeroizing::new(files::read_text(key).map_err(failed)?);
    let passphrase = passphrase_file.map(passphrase).transpose()?;
    if passphrase.is_none() && Operator::is_encrypted(&pem) {
        let text = format!("{} is encrypted: give --passphrase-file FILE", key.display());
        return Err(Exit::Usage(text));
    }
    Operator::from_pem(&pem, passphrase.as_ref().map(|text| text.as_str()))
        .map_err(|error| Exit::Failed(format!("{}: {error}", key.display())))
}

/// The first line of a file.
fn passphrase(path: &Path) -> Result<Zeroizing<String>, Exit> {
    let text = Zeroizing::new(files::read_text(path).map_err(failed)?);
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(Exit::Failed(format!("the first line of {} is empty", path.display()))),
    }
}

/// The operator's new key pair.
#[derive(Serialize)]
struct NewKey {
    key: PathBuf,
    public_key: PathBuf,
    sha256: String,
    encrypted: bool,
}

fn new_key(wanted: &RecoveryNewKey, output: &Output) -> Result<(), Exit> {
    let public_key = wanted.out.with_extension("pub");
    for path in [&wanted.out, &public_key] {
        if path.exists() {
            let text = format!("{} is there already; it is not overwritten", path.display());
            return Err(Exit::Failed(text));
        }
    }
    let passphrase = wanted.passphrase_file.as_deref().map(passphrase).transpose()?;
    let operator = Operator::generate(&mut OsRng).map_err(failed)?;
    let pem = operator.to_pem(passphrase.as_ref().map(|text| text.as_str())).map_err(failed)?;
    let public = operator.recipient().to_pem().map_err(failed)?;
    files::write(&wanted.out, pem.as_bytes(), Readers::Owner).map_err(failed)?;
    files::write(&public_key, public.as_bytes(), Readers::Everybody).map_err(failed)?;
    let made = NewKey {
        key: wanted.out.clone(),
        public_key,
        sha256: hex::encode(operator.recipient().sha256()),
        encrypted: passphrase.is_some(),
    };
    output.result(&made, |made| {
        format!(
            "{} written: keep it in a safe place, never on the server{}\n{} written: give it to \
             holdfast-cloud site new --recovery-key\nsha256  {}",
            made.key.display(),
            if made.encrypted { "" } else { "; it is not encrypted (--passphrase-file FILE)" },
            made.public_key.display(),
            made.sha256
        )
    })
}

fn overview(keys: &[RecoveryKeySummary]) -> String {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            [
                key.edge_id.clone(),
                key.tenant.to_string(),
                moment(key.created_at),
                moment(key.stored_at),
                key.occasion.as_str().to_owned(),
                key.recipient_sha256.to_string()[..16].to_owned(),
                key.luks_uuid.clone(),
            ]
        })
        .collect();
    let head = ["EDGE ID", "TENANT", "MADE", "STORED", "OCCASION", "OPERATOR KEY", "VOLUME"];
    table(head, &rows)
}

#[cfg(test)]
mod tests {
    use holdfast_recovery::{Occasion, RecoveryKey};
    use uuid::Uuid;

    use super::*;
    use crate::registry::Digest;

    #[test]
    fn a_server_does_not_pass_one_devices_key_off_as_anothers() {
        let statement = Statement {
            edge_id: "SN-1".into(),
            luks_uuid: "6b1e2a34-1f7c-4f2a-9a55-0d7c3a2b1c0d".into(),
            keyslot: 1,
            created: OffsetDateTime::UNIX_EPOCH,
            occasion: Occasion::First,
            key: RecoveryKey::from_bytes(&[7; 32]),
        };
        let summary = RecoveryKeySummary {
            device_id: Uuid::nil(),
            edge_id: statement.edge_id.clone(),
            tenant: "demo".parse().unwrap(),
            sha256: Digest([0; 32]),
            luks_uuid: statement.luks_uuid.clone(),
            keyslot: 1,
            created_at: OffsetDateTime::UNIX_EPOCH,
            occasion: Occasion::First,
            recipient_sha256: Digest([0; 32]),
            stored_at: OffsetDateTime::UNIX_EPOCH,
        };
        assert!(agree(&statement, &summary).is_ok());
        let other_device = RecoveryKeySummary { edge_id: "SN-2".into(), ..summary.clone() };
        let other_volume = RecoveryKeySummary { luks_uuid: Uuid::nil().to_string(), ..summary };
        for summary in [other_device, other_volume] {
            let refused = agree(&statement, &summary).unwrap_err().to_string();
            assert!(refused.contains("not shown"), "{refused}");
            assert!(!refused.contains(statement.key.as_str()));
        }
    }
}
