//! `holdfast renew` and `holdfast re-enroll`.

use holdfast_ipc::identity::Identity1Proxy;
use serde::Serialize;
use zbus::Connection;

use crate::{
    Code, Failure, bus, cli,
    status::now,
    text::{field, moment},
};

const LABEL: usize = 13;

/// How the device shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// With the certificate in use.
    Certificate,
    /// With the endorsement key, as on the first boot.
    EndorsementKey,
}

/// A certificate that has just come into use.
#[derive(Serialize)]
struct Renewed {
    serial: String,
    certificate_expires: u64,
    next_renewal: u64,
}

/// Replaces the certificate and waits until its successor is in use.
pub(crate) async fn run(bus: &Connection, proof: Proof, json: bool) -> Result<Code, Failure> {
    let proxy = Identity1Proxy::new(bus).await?;
    let serial = match proof {
        Proof::Certificate => proxy.renew().await?,
        Proof::EndorsementKey => proxy.re_enroll().await?,
    };
    let snapshot = bus::snapshot(bus).await?;
    let renewed = Renewed {
        serial,
        certificate_expires: snapshot.certificate_expires,
        next_renewal: snapshot.next_renewal,
    };
    if json {
        cli::print_json(&renewed)?;
    } else {
        cli::print(&renewed.block(now()))?;
    }
    Ok(Code::Ok)
}

impl Renewed {
    fn block(&self, now: i64) -> String {
        [
            field("Certificate", LABEL, &format!("serial {}, in use", self.serial)),
            field("  until", LABEL, &moment(self.certificate_expires, now)),
            field("  Renewal", LABEL, &moment(self.next_renewal, now)),
        ]
        .join("\n")
    }
}
