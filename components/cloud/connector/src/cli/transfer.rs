//! `holdfast-cloud site transfer`: letting devices go to another site.

use std::os::unix::fs::MetadataExt as _;

use holdfast_attestation::hash::sha256;
use holdfast_audit_log::Actor;
use holdfast_site::{Anchor, Site, Transfer};
use rcgen::SigningKey as _;
use serde::Serialize;

use super::arguments::{self, Connection, SiteTransfer};
use super::output::Output;
use super::{Exit, serve};
use crate::audit::{Act, Operation};
use crate::ca::read_root_key;
use crate::files::{self, Readers};
use crate::store::Store as _;

/// What was signed.
#[derive(Serialize)]
struct Signed {
    tenant: String,
    /// Of the site configuration to which devices may move.
    site_sha256: String,
    /// The tenant that it names.
    new_tenant: String,
    file: String,
}

pub(super) async fn run(
    given: &SiteTransfer,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let folder = connection.folder()?;
    let ca = folder.authority();
    if !ca.exists() {
        let text = "there is no certificate authority in this data folder; name the one of the \
                    cloud that devices leave with --data";
        return Err(Exit::Failed(text.to_owned()));
    }
    let document = files::read(&given.document).map_err(failed)?;
    let site = Site::parse(&document)
        .map_err(|error| Exit::Usage(format!("{}: {error}", given.document.display())))?;
    let site_sha256 = sha256(&[&document]);
    let root = ca.roster().map_err(failed)?.root.certificate;
    let passphrase = serve::passphrase(given.root_passphrase_file.as_deref())?;
    let path = given.root_key.clone().unwrap_or_else(|| ca.first_root_key());
    let key = read_root_key(&path, passphrase.as_ref()).map_err(failed)?;
    if key.public_key_raw() != root.public_key() {
        return Err(Exit::Failed(format!(
            "{} is not the key of the root in force",
            path.display()
        )));
    }
    let tenant: holdfast_site::Tenant = given.tenant.to_string().parse().map_err(Exit::Usage)?;
    let signature = key.sign(&Transfer::message(&tenant, &site_sha256)).map_err(failed)?;
    let anchor: Anchor = root.pem().parse().map_err(Exit::Failed)?;
    let transfer = Transfer { tenant, site_sha256, root: anchor, signature };
    let text = transfer.to_toml().map_err(failed)?;

    let uid = std::fs::metadata("/proc/self").map_err(failed)?.uid();
    let name = hex::encode(site_sha256);
    let operation = Operation::new(arguments::now(), Actor::user(uid), Act::TransferSite, &name)
        .with_tenant(&given.tenant)
        .with_arguments(&[&site_sha256, site.tenant.as_str().as_bytes()]);
    // Recorded first: a file without a record would let devices go unseen.
    folder.open_store()?.record_audit(operation.done()).await.map_err(failed)?;
    files::write(&given.out, text.as_bytes(), Readers::Everybody).map_err(failed)?;
    let signed = Signed {
        tenant: given.tenant.to_string(),
        site_sha256: name,
        new_tenant: site.tenant.to_string(),
        file: given.out.display().to_string(),
    };
    output.result(&signed, |signed| {
        format!(
            "{} written: devices of {} may move to the site of {} with SHA-256 {}.\nPut it beside \
             site.toml on the boot partition, as holdfast/site.transfer.",
            signed.file, signed.tenant, signed.new_tenant, signed.site_sha256
        )
    })
}

fn failed(error: impl std::fmt::Display) -> Exit {
    Exit::Failed(error.to_string())
}
