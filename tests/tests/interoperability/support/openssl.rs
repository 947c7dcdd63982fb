//! OpenSSL as a certificate authority and as a TLS client.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::run;

/// What a certificate says it is for.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// extendedKeyUsage clientAuth.
    Client,
    /// extendedKeyUsage serverAuth.
    Server,
}

/// A certificate to be made.
pub struct ClientCertificate<'a> {
    /// Certificate and key of the CA that signs it.
    pub ca: (&'a Path, &'a Path),
    /// What it is for.
    pub purpose: Purpose,
    /// Start and end of its life, as `YYYYMMDDHHMMSSZ`.
    pub life: (&'a str, &'a str),
}

/// Works in a folder.
pub struct Openssl {
    folder: PathBuf,
}

const CONFIGURATION: &str = "[ca]\ndefault_ca = default\n\
    [default]\ndatabase = index.txt\nnew_certs_dir = .\nrand_serial = yes\nunique_subject = no\n\
    default_md = sha256\npolicy = any\n\
    [any]\ncommonName = supplied\n\
    [client]\nbasicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\n\
    extendedKeyUsage = clientAuth\nauthorityKeyIdentifier = keyid\n\
    [server]\nbasicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\n\
    extendedKeyUsage = serverAuth\nauthorityKeyIdentifier = keyid\n";

impl Openssl {
    /// Makes the folder.
    pub fn at(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("ca.cnf"), CONFIGURATION).unwrap();
        fs::write(folder.join("index.txt"), "").unwrap();
        Self { folder: folder.to_owned() }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(&self.folder);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The name in a certificate, as [`Self::ca`] takes it.
    pub fn name_in(&self, certificate: &Path) -> String {
        let mut show = self.command("x509 -noout -subject -nameopt compat -in");
        let name = String::from_utf8(run(show.arg(certificate))).unwrap();
        name.trim().strip_prefix("subject=").unwrap().trim().to_owned()
    }

    /// Enrols by plain EST (RFC 7030) with curl: name and one-time secret of a registration. Returns
    /// certificate with issuers, and key.
    pub fn enrol(&self, est: &SocketAddr, root: &Path, user: (&str, &str)) -> (PathBuf, PathBuf) {
        let (name, secret) = user;
        run(&mut self.command(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout device.key \
             -subj /CN={name} -outform der -out device.csr"
        )));
        run(&mut self.command("base64 -in device.csr -out device.b64"));
        let mut post = Command::new("curl");
        post.args(["--silent", "--show-error", "--fail-with-body", "--cacert"])
            .arg(root)
            .args(["--user", &format!("{name}:{secret}"), "--data-binary", "@device.b64"])
            .args(["--header", "Content-Type: application/pkcs10", "--output", "answer"])
            .arg(format!("https://{est}/.well-known/est/simpleenroll"))
            .current_dir(&self.folder);
        run(&mut post);
        run(&mut self.command("base64 -d -A -in answer -out answer.der"));
        run(&mut self.command("pkcs7 -inform der -in answer.der -print_certs -out device.crt"));
        (self.path("device.crt"), self.path("device.key"))
    }

    /// Makes another CA.
    pub fn ca(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut make = self.command(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -keyout other-ca.key -out other-ca.crt -subj",
        );
        run(make.arg(name));
        (self.path("other-ca.crt"), self.path("other-ca.key"))
    }

    /// Makes a key and a certificate of it.
    pub fn certificate(&self, name: &str, wanted: &ClientCertificate<'_>) -> (PathBuf, PathBuf) {
        let (ca, ca_key) = wanted.ca;
        let section = match wanted.purpose {
            Purpose::Client => "client",
            Purpose::Server => "server",
        };
        run(&mut self.command(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
             -subj /CN={name} -out {name}.csr"
        )));
        let (start, end) = wanted.life;
        let mut sign = self.command(&format!(
            "ca -batch -notext -config ca.cnf -extensions {section} -startdate {start} \
             -enddate {end} -in {name}.csr -out {name}.crt"
        ));
        run(sign.arg("-cert").arg(ca).arg("-keyfile").arg(ca_key));
        (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")))
    }

    /// Asks over TLS 1.3; whatever comes of it.
    pub fn get(
        &self,
        server: SocketAddr,
        root: &Path,
        identity: Option<&(PathBuf, PathBuf)>,
        path: &str,
    ) -> Output {
        let mut client = self
            .command(&format!("s_client -tls1_3 -quiet -verify_return_error -connect {server}"));
        client.arg("-CAfile").arg(root);
        if let Some((certificate, key)) = identity {
            client.arg("-cert").arg(certificate).arg("-key").arg(key);
        }
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: connector\r\nConnection: close\r\n\r\n");
        // A server that has refused already no longer listens.
        let _ = client.stdin.take().unwrap().write_all(request.as_bytes());
        client.wait_with_output().unwrap()
    }
}
