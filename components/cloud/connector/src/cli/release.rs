//! `holdfast-cloud release …`

use super::Exit;
use super::arguments::{self, Connection};
use super::output::{Output, moment, optional_moment, table};
use crate::files;
use crate::management::types::Items;
use crate::releases::Release;

pub(super) async fn run(
    command: arguments::Release,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let client = connection.client()?;
    match command {
        arguments::Release::Publish { file } => {
            let body = files::read(&file).map_err(|e| Exit::Failed(e.to_string()))?;
            let release: Release = client.post_bytes("/api/v1/releases", body).await?;
            output.result(&release, |release| format!("{} published", release.label()))
        }
        arguments::Release::Withdraw { uki_sha256 } => {
            let path = format!("/api/v1/releases/{uki_sha256}/withdraw");
            let release: Release = client.post(&path, &()).await?;
            output.result(&release, |release| format!("{} withdrawn", release.label()))
        }
        arguments::Release::List => {
            let releases: Items<Release> = client.get("/api/v1/releases").await?;
            output.result(&releases, |releases| {
                let rows: Vec<_> = releases
                    .items
                    .iter()
                    .map(|release| {
                        [
                            release.label(),
                            moment(release.published_at),
                            optional_moment(release.withdrawn_at),
                            hex::encode(release.measurement.uki_sha256),
                        ]
                    })
                    .collect();
                table(["RELEASE", "PUBLISHED", "WITHDRAWN", "UKI SHA256"], &rows)
            })
        }
    }
}
