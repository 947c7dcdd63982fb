//! `holdfast-cloud token …`

use super::Exit;
use super::arguments::{Connection, Token, TokenAudience, TokenKey};
use super::output::{Output, moment, optional_moment, table};
use crate::management::types::{Items, NameAudience, PutAudience, RotateTokenKeys};
use crate::tokens::{AudienceRecord, KeyStatus, KeyUse, Scope};

pub(super) async fn run(
    command: Token,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    match command {
        Token::Audience(command) => audience(command, connection, output).await,
        Token::Key(command) => key(command, connection, output).await,
    }
}

async fn audience(
    command: TokenAudience,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let client = connection.client()?;
    match command {
        TokenAudience::Add { audience, scopes, tenant } => {
            let body = PutAudience { tenant, audience, scopes };
            let added: AudienceRecord = client.post("/api/v1/token/audiences", &body).await?;
            output.result(&added, |added| {
                format!("{}  allowed  {}  {}", added.audience, added.tenant, listed(&added.scopes))
            })
        }
        TokenAudience::List { tenant } => {
            let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
            let path = format!("/api/v1/token/audiences{query}");
            let audiences: Items<AudienceRecord> = client.get(&path).await?;
            output.result(&audiences, |audiences| {
                let row = |record: &AudienceRecord| {
                    [
                        record.audience.to_string(),
                        record.tenant.to_string(),
                        moment(record.added_at),
                        record.added_by.clone(),
                        listed(&record.scopes),
                    ]
                };
                let rows: Vec<_> = audiences.items.iter().map(row).collect();
                table(["AUDIENCE", "TENANT", "ADDED", "BY", "SCOPES"], &rows)
            })
        }
        TokenAudience::Remove { audience, tenant } => {
            let body = NameAudience { tenant, audience };
            let path = "/api/v1/token/audiences/remove";
            let removed: AudienceRecord = client.post(path, &body).await?;
            output.result(&removed, |removed| {
                format!("{}  removed  {}", removed.audience, removed.tenant)
            })
        }
    }
}

async fn key(command: TokenKey, connection: &Connection, output: &Output) -> Result<(), Exit> {
    let client = connection.client()?;
    let keys: Items<KeyStatus> = match command {
        TokenKey::List => client.get("/api/v1/token/keys").await?,
        TokenKey::Rotate { compromised } => {
            client.post("/api/v1/token/keys/rotate", &RotateTokenKeys { compromised }).await?
        }
    };
    output.result(&keys, |keys| {
        let row = |key: &KeyStatus| {
            let usage = match key.usage {
                KeyUse::Current => "current",
                KeyUse::Next => "next",
                KeyUse::Retired => "retired",
            };
            [
                key.kid.clone(),
                usage.to_owned(),
                moment(key.made_at),
                optional_moment(key.published_until),
            ]
        };
        let rows: Vec<_> = keys.items.iter().map(row).collect();
        table(["KEY", "USE", "MADE", "PUBLISHED UNTIL"], &rows)
    })
}

fn listed(scopes: &[Scope]) -> String {
    if scopes.is_empty() {
        return "-".to_owned();
    }
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}
