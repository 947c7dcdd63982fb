//! `holdfast audit status`.

use std::collections::BTreeMap;

use holdfast_ipc::audit1::Audit1Proxy;
use serde::Deserialize;
use zbus::Connection;

use crate::service::Service;
use crate::text::field;
use crate::{Code, Failure, cli};

const LABEL: usize = 12;

/// What the daemon says; it may say more.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub(super) log: String,
    pub(super) size: u64,
    first: u64,
    signed: Option<u64>,
    pub(super) public_key: Option<String>,
    spool: Spool,
    lost: BTreeMap<String, u64>,
    write_error: Option<String>,
    upload: Upload,
}

#[derive(Clone, Debug, Deserialize)]
struct Spool {
    used: u64,
    limit: u64,
    fill: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Upload {
    state: String,
    accepted: Option<u64>,
    error: Option<String>,
}

/// Asks the daemon; its answer, and the same as text.
pub(super) async fn ask(bus: &Connection) -> Result<(Status, String), Failure> {
    let answer = Audit1Proxy::new(bus).await?.status().await;
    let json = answer.map_err(|error| Service::AUDIT.failure(error))?;
    let status = serde_json::from_str(&json).map_err(|error| Service::AUDIT.odd(&error))?;
    Ok((status, json))
}

pub(super) async fn show(bus: &Connection, json: bool) -> Result<Code, Failure> {
    let (status, text) = ask(bus).await?;
    cli::print(&if json { text } else { status.block() })?;
    Ok(Code::Ok)
}

impl Status {
    /// For people.
    fn block(&self) -> String {
        let here = match self.first {
            0 => "all of them here".to_owned(),
            first => format!("from {first} on here, the ones before in the cloud alone"),
        };
        let upload = match (self.upload.accepted, self.upload.state.as_str()) {
            (Some(all), _) if all == self.size => "the cloud has signed for all".to_owned(),
            (Some(some), state) => format!("the cloud has signed for {some}; {state}"),
            (None, state) => format!("nothing since the daemon's start; {state}"),
        };
        let signed = match self.signed {
            Some(size) => format!("the TPM signed {size}"),
            None => "the TPM signed none since the daemon's start".to_owned(),
        };
        let Spool { used, limit, fill } = &self.spool;
        let spool = format!("{} of {} MiB ({fill})", used.div_ceil(1 << 20), limit >> 20);
        let lost = if self.lost.is_empty() {
            "nothing since the daemon's start".to_owned()
        } else {
            let lost: Vec<_> = self.lost.iter().map(|(why, n)| format!("{n} ({why})")).collect();
            lost.join(", ")
        };
        let mut lines = vec![
            field("Log", LABEL, &self.log),
            field("Records", LABEL, &format!("{}, {here}", self.size)),
            field("Signed", LABEL, &signed),
            field("Upload", LABEL, &upload),
            field("Spool", LABEL, &spool),
            field("Lost", LABEL, &lost),
        ];
        let errors = [("Last error", &self.upload.error), ("Disk", &self.write_error)];
        lines.extend(
            errors.iter().filter_map(|(label, error)| {
                error.as_ref().map(|error| field(label, LABEL, error))
            }),
        );
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_what_is_where() {
        let json = r#"{"log":"ab","size":10,"head":"cd","first":4,"signed":8,"public_key":null,
            "spool":{"used":2000000,"limit":268435456,"fill":"low"},"lost":{"spool-full":7},
            "write_error":"no space","upload":{"state":"waiting","accepted":6,"error":"no route"},
            "previous":null}"#;
        let status: Status = serde_json::from_str(json).unwrap();
        assert_eq!(
            status.block(),
            "Log         ab\n\
             Records     10, from 4 on here, the ones before in the cloud alone\n\
             Signed      the TPM signed 8\n\
             Upload      the cloud has signed for 6; waiting\n\
             Spool       2 of 256 MiB (low)\n\
             Lost        7 (spool-full)\n\
             Last error  no route\n\
             Disk        no space"
        );
    }
}
