//! Sealed bytes open for the one who sealed them, on this TPM, under a signed system.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use holdfast_ipc::{CallError, ErrorKind};
use sha2::{Digest as _, Sha256};

use crate::cloud::Cloud;
use crate::device::Device;

fn run(folder: &Path, tcti: &str, command: &str) {
    let mut words = command.split_whitespace();
    let done = Command::new(words.next().unwrap())
        .args(words)
        .current_dir(folder)
        .env("TPM2TOOLS_TCTI", tcti)
        .output()
        .unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Signs "PCR 11 has the value that it has now", as systemd-measure does, with tpm2-tools and
/// OpenSSL.
fn sign_boot(device: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let tcti = device.tpm.tcti();
    for command in [
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem",
        "openssl pkey -in key.pem -pubout -out public.pem",
        "tpm2_createpolicy --policy-pcr -l sha256:11 -L policy",
        "openssl dgst -sha256 -sign key.pem -out signature policy",
        "openssl rsa -pubin -in public.pem -RSAPublicKey_out -outform der -out pkcs1",
    ] {
        run(folder.path(), &tcti, command);
    }
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let signatures = serde_json::json!({ "sha256": [{
        "pcrs": [11],
        "pkfp": hex::encode(Sha256::digest(read("pkcs1"))),
        "pol": hex::encode(read("policy")),
        "sig": BASE64_STANDARD.encode(read("signature")),
    }]});
    std::fs::write(device.path("signature.json"), signatures.to_string()).unwrap();
    std::fs::write(device.path("pcr.pem"), read("public.pem")).unwrap();
}

fn kind(error: &zbus::Error) -> Option<ErrorKind> {
    CallError::from_reply(error).map(|error| error.kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_bytes_open_here_and_nowhere_else() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0030", &site);

    let daemon = device.start();
    daemon.wait_for("enroller started");
    let identity = device.identity().await;
    let error = identity.seal("file", b"secret").await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::NotReady), "{error}");
    daemon.stop();

    sign_boot(&device);
    let daemon = device.start();
    daemon.wait_for("enroller started");
    let identity = device.identity().await;
    let sealed = identity.seal("file", b"secret").await.unwrap();
    assert_eq!(identity.unseal("file", &sealed).await.unwrap(), b"secret");
    let error = identity.unseal("other", &sealed).await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::AccessDenied), "{error}");
    for broken in [&sealed[..40], b"rubbish"] {
        let error = identity.unseal("file", broken).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::NotOurs), "{error}");
    }
    daemon.stop();

    // Another TPM, same disk.
    device.exchange_tpm();
    std::fs::remove_dir_all(device.state()).unwrap();
    let daemon = device.start();
    daemon.wait_for("enroller started");
    let identity = device.identity().await;
    let error = identity.unseal("file", &sealed).await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::NotOurs), "{error}");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_bytes_stay_shut_under_a_system_that_was_not_signed() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0031", &site);
    sign_boot(&device);
    let daemon = device.start();
    daemon.wait_for("enroller started");
    let identity = device.identity().await;
    let sealed = identity.seal("file", b"secret").await.unwrap();
    daemon.stop();

    device.tpm.open().unwrap().pcr_extend(11, &[0xbd; 32]).unwrap();
    let daemon = device.start();
    daemon.wait_for("enroller started");
    let identity = device.identity().await;
    let error = identity.unseal("file", &sealed).await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::NotOurs), "{error}");
    daemon.stop();
}
