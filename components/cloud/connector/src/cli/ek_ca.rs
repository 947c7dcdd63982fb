//! `holdfast-cloud ek-ca …`

use std::path::{Path, PathBuf};

use super::Exit;
use super::arguments::{self, Connection};
use super::output::{Output, table};
use crate::ek_cas::EkCa;
use crate::files;
use crate::management::types::{AddEkCas, AddedEkCas, Items};

pub(super) async fn run(
    command: arguments::EkCa,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let client = connection.client()?;
    match command {
        arguments::EkCa::Add { paths, tenant } => {
            let certificates = bundle(&paths)?;
            let body = AddEkCas { tenant, certificates };
            let added: AddedEkCas = client.post("/api/v1/ek-cas", &body).await?;
            output.result(&added, |it| format!("{} CAs added, {} given", it.added, it.given))
        }
        arguments::EkCa::List { tenant } => {
            let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
            let cas: Items<EkCa> = client.get(&format!("/api/v1/ek-cas{query}")).await?;
            output.result(&cas, |cas| {
                let rows: Vec<_> = cas
                    .items
                    .iter()
                    .map(|ca| [ca.tenant.to_string(), ca.sha256.to_string(), ca.subject.clone()])
                    .collect();
                table(["TENANT", "SHA256", "SUBJECT"], &rows)
            })
        }
        arguments::EkCa::Remove { sha256, tenant } => {
            let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
            let path = format!("/api/v1/ek-cas/{sha256}/remove{query}");
            let removed: EkCa = client.post(&path, &()).await?;
            output.result(&removed, |ca| format!("{} removed", ca.subject))
        }
    }
}

/// All certificates of files and folders as one PEM text. Each file is judged here, so that an
/// error can name it.
fn bundle(paths: &[PathBuf]) -> Result<String, Exit> {
    let mut bundle = String::new();
    for path in paths {
        for file in files_of(path)? {
            let text = files::read_text(&file).map_err(|e| Exit::Failed(e.to_string()))?;
            let tenant = "check".parse().map_err(|e| Exit::Failed(format!("{e}")))?;
            crate::ek_cas::read_bundle(&text, &tenant, arguments::now(), "")
                .map_err(|e| Exit::Failed(format!("{}: {e}", file.display())))?;
            bundle.push_str(&text);
            bundle.push('\n');
        }
    }
    Ok(bundle)
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, Exit> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |e: std::io::Error| Exit::Failed(format!("{}: {e}", path.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|ending| ending == "pem" || ending == "crt") {
            found.push(file);
        }
    }
    if found.is_empty() {
        return Err(Exit::Failed(format!("{}: no .pem or .crt file in it", path.display())));
    }
    found.sort();
    Ok(found)
}
