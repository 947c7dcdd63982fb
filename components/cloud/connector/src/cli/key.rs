//! `holdfast-cloud api-key …`

use super::Exit;
use super::arguments::{ApiKey, Connection};
use super::output::{Output, moment, optional_moment, table};
use crate::management::types::{ApiKeySummary, CreateApiKey, Items, NewApiKey};

pub(super) async fn run(
    command: ApiKey,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let client = connection.client()?;
    match command {
        ApiKey::Create { name, role } => {
            let body = CreateApiKey { name, role };
            let key: NewApiKey = client.post("/api/v1/api-keys", &body).await?;
            output.result(&key, |key| key.key.clone())
        }
        ApiKey::List => {
            let keys: Items<ApiKeySummary> = client.get("/api/v1/api-keys").await?;
            output.result(&keys, |keys| {
                let rows: Vec<_> = keys
                    .items
                    .iter()
                    .map(|key| {
                        [
                            key.id.clone(),
                            key.name.clone(),
                            key.role.to_string(),
                            moment(key.created_at),
                            optional_moment(key.revoked_at),
                        ]
                    })
                    .collect();
                table(["ID", "NAME", "ROLE", "CREATED", "REVOKED"], &rows)
            })
        }
        ApiKey::Revoke { id } => {
            if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(Exit::Usage("the id of an API key is hexadecimal".to_owned()));
            }
            let path = format!("/api/v1/api-keys/{id}/revoke");
            let key: ApiKeySummary = client.post(&path, &()).await?;
            output.result(&key, |key| format!("{} revoked", key.name))
        }
    }
}
