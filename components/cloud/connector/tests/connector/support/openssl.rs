//! OpenSSL as the independent side.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

/// Runs it; its success and all that it said.
pub fn openssl(arguments: &[&str]) -> (bool, String) {
    foreign("openssl", arguments)
}

/// Runs a program of others.
pub fn foreign(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A folder of PEM files.
pub struct Pems(TempDir);

impl Pems {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes certificates into one file; gives its path.
    pub fn certificates(&self, name: &str, certificates: &[CertificateDer<'_>]) -> String {
        let pem: String = certificates.iter().map(|der| pem("CERTIFICATE", der)).collect();
        self.text(name, &pem)
    }

    /// Writes revocation lists into one file; gives its path.
    pub fn crls(&self, name: &str, crls: &[&[u8]]) -> String {
        let pem: String = crls.iter().map(|der| pem("X509 CRL", der)).collect();
        self.text(name, &pem)
    }

    fn text(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).unwrap()
}
