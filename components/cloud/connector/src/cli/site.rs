//! `holdfast-cloud site …`

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use holdfast_audit_log::Actor;
use holdfast_site::{Anchor, Connector, EdgeIdSource, HttpsOrigin, RecoveryKey, Tenant};

use super::arguments::{self, Connection, SiteNew};
use super::output::{Output, moment, table};
use super::{Exit, serve, transfer};
use crate::audit::{Act, Operation};
use crate::ca::{Passphrases, read_document_key};
use crate::files::{self, Readers};
use crate::management::types::{AddSite, Items};
use crate::sites::{Site, sign};
use crate::store::Store as _;

pub(super) async fn run(
    command: arguments::Site,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    match command {
        arguments::Site::New(new) => {
            let site = make(&new, connection).await?;
            output.result(&site, |site| {
                format!(
                    "{} and {}.sig written\ntenant  {}\nsha256  {}",
                    new.out.display(),
                    new.out.display(),
                    site.tenant,
                    site.sha256
                )
            })
        }
        arguments::Site::Transfer(given) => transfer::run(&given, connection, output).await,
        arguments::Site::Add { document } => {
            let text = files::read_text(&document).map_err(failed)?;
            let signature = files::read(&signature_path(&document));
            let signature = match signature {
                Err(error) if !error.is_not_found() => return Err(failed(error)),
                other => other.unwrap_or_default(),
            };
            let body = AddSite { document: text, signature };
            let site: Site = connection.client()?.post("/api/v1/sites", &body).await?;
            output.result(&site, |site| format!("tenant  {}\nsha256  {}", site.tenant, site.sha256))
        }
        arguments::Site::List { tenant } => {
            let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
            let path = format!("/api/v1/sites{query}");
            let sites: Items<Site> = connection.client()?.get(&path).await?;
            output.result(&sites, |sites| {
                let rows: Vec<_> = sites
                    .items
                    .iter()
                    .map(|site| {
                        let (tenant, added) = (site.tenant.to_string(), moment(site.added_at));
                        [tenant, added, site.added_by.clone(), site.sha256.to_string()]
                    })
                    .collect();
                table(["TENANT", "ADDED", "BY", "SHA256"], &rows)
            })
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Exit {
    Exit::Failed(error.to_string())
}

fn signature_path(document: &Path) -> std::path::PathBuf {
    let mut path = document.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

async fn make(new: &SiteNew, connection: &Connection) -> Result<Site, Exit> {
    let now = arguments::now();
    let folder = connection.folder()?;
    let key = read_document_key(&new.key).map_err(failed)?;
    let passphrases = Passphrases {
        root: None,
        issuing: serve::passphrase(new.issuing_passphrase_file.as_deref())?,
    };
    let (authority, store) = folder.open(&passphrases, now).await?;
    let document = configuration(new, &authority.root_pem())?.to_toml().map_err(failed)?;
    let signature = sign(&key, document.as_bytes());

    let uid = std::fs::metadata("/proc/self").map_err(failed)?.uid();
    let site = Site::new(document, signature, now, format!("uid {uid}")).map_err(failed)?;
    let operation = Operation::new(now, Actor::user(uid), Act::AddSite, &site.sha256.to_string())
        .with_tenant(&site.tenant)
        .with_arguments(&[&site.sha256.0]);
    let site = store.add_site(site, operation.done()).await.map_err(failed)?;
    // Only what the server accepts is written: the other way round, a crash would leave a
    // configuration that devices are refused for.
    files::write(&signature_path(&new.out), &site.signature, Readers::Everybody).map_err(failed)?;
    files::write(&new.out, site.document.as_bytes(), Readers::Everybody).map_err(failed)?;
    Ok(site)
}

fn configuration(new: &SiteNew, root_pem: &str) -> Result<holdfast_site::Site, Exit> {
    let usage = |argument: &'static str| move |e: String| Exit::Usage(format!("{argument}: {e}"));
    let tenant: Tenant = new.tenant.parse().map_err(usage("--tenant"))?;
    let source: EdgeIdSource = new.edge_id_source.parse().map_err(usage("--edge-id-source"))?;
    let enrol_url: HttpsOrigin = new.enrol_url.parse().map_err(usage("--enrol-url"))?;
    let device_url: HttpsOrigin = new.device_url.parse().map_err(usage("--device-url"))?;
    let mut anchors: Vec<Anchor> = vec![root_pem.parse().map_err(usage("root certificate"))?];
    for path in &new.anchor {
        let text = files::read_text(path).map_err(failed)?;
        anchors.push(text.parse().map_err(usage("--anchor"))?);
    }
    let recovery_key: Option<RecoveryKey> = match &new.recovery_key {
        Some(path) => {
            let text = files::read_text(path).map_err(failed)?;
            let key: RecoveryKey = text.parse().map_err(usage("--recovery-key"))?;
            // Devices wrap to it on their first boot, when it is late to find out.
            holdfast_recovery::Recipient::from_spki(key.der())
                .map_err(|error| Exit::Usage(format!("--recovery-key: {error}")))?;
            Some(key)
        }
        None => None,
    };
    let connector = Connector { enrol_url, device_url };
    holdfast_site::Site::new(tenant, source, connector, anchors, recovery_key)
        .map_err(usage("--anchor"))
}
