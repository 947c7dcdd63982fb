//! The device's key for TLS, which the enroller uses for us.

use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use holdfast_ipc::identity::Identity1Proxy;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use zbus::Connection;

/// A TPM that is busy with a new key is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "device";
const SCHEME: &str = "rsa-pss-sha256";

/// A digest to be signed, and where the signature goes.
#[derive(Debug)]
pub struct ToSign {
    digest: [u8; 32],
    answer: std_mpsc::SyncSender<Result<Vec<u8>, String>>,
}

/// The key. TLS wants its signature at once, so that the thread waits for it; the bus is served by
/// another.
#[derive(Clone, Debug)]
pub struct BusKey(mpsc::Sender<ToSign>);

impl BusKey {
    /// A key whose signatures are made by whoever serves what comes out of the other end.
    pub fn new() -> (Self, mpsc::Receiver<ToSign>) {
        let (sender, receiver) = mpsc::channel(4);
        (Self(sender), receiver)
    }
}

impl SigningKey for BusKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&SignatureScheme::RSA_PSS_SHA256);
        is_offered.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for BusKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = Sha256::digest(message).into();
        let (answer, signature) = std_mpsc::sync_channel(1);
        let failed = |what: &str| Error::General(format!("the device's key: {what}"));
        self.0.try_send(ToSign { digest, answer }).map_err(|_| failed("the bus is not served"))?;
        match signature.recv_timeout(PATIENCE) {
            Ok(result) => result.map_err(|error| failed(&error)),
            Err(_) => Err(failed("no answer of the enroller")),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}

/// Lets the enroller sign, for as long as there is a [`BusKey`].
pub async fn serve(mut to_sign: mpsc::Receiver<ToSign>, bus: Connection) {
    while let Some(ToSign { digest, answer }) = to_sign.recv().await {
        let signed = async { Identity1Proxy::new(&bus).await?.sign(KEY, SCHEME, &digest).await };
        // Who asked may be gone.
        let _ = answer.try_send(signed.await.map_err(|error| error.to_string()));
    }
}
