//! The authority: roll-overs, revocation lists and OCSP, judged by OpenSSL and `GnuTLS`.

mod crl;
mod ocsp;
mod roll_over;

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_cloud::cli::{Arguments, run};
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use crate::support::Fixture;
use crate::support::device::{Device, Tpm as _};
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";

impl Fixture {
    /// Runs `holdfast-cloud ca …` on the folder of the running server.
    async fn ca(&self, arguments: &[&str]) -> bool {
        let data = self.data().to_str().unwrap().to_owned();
        let program = ["holdfast-cloud", "--data", &data, "ca"];
        let arguments = Arguments::try_parse_from(program.iter().chain(arguments)).unwrap();
        format!("{:?}", run(arguments).await) == format!("{:?}", ExitCode::SUCCESS)
    }

    pub(crate) async fn roll_issuing(&self) {
        assert!(self.ca(&["roll-issuing"]).await);
    }

    /// The old root's key is where the first start left it.
    pub(crate) async fn roll_root(&self) {
        let new = self.data().join("root-2.key");
        assert!(self.ca(&["roll-root", "--new-root-key", new.to_str().unwrap()]).await);
    }

    /// Certificates of the authority's roster, as the management API shows them.
    async fn cas(&self) -> Vec<Value> {
        let authority: Value = self.admin.get("/api/v1/authority").await.unwrap();
        authority["cas"].as_array().unwrap().clone()
    }

    fn root(&self) -> CertificateDer<'static> {
        self.server.app().authority().root().clone()
    }
}

async fn enrolled() -> (Fixture, Device<SoftwareTpm>, Vec<CertificateDer<'static>>) {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    let chain = device.enrol(&fixture.server).await;
    (fixture, device, chain)
}
