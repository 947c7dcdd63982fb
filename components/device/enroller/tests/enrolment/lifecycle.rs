//! An identity's life when all goes well.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use holdfast_enroll::certificate::Chain;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256};

use crate::cloud::Cloud;
use crate::device::Device;

const DAY: u64 = 86_400;

async fn registered(cloud: &Cloud, device: &Device, serial: &str) -> String {
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    daemon.stop();
    cloud.operate(&["device", "register", serial, "--ek-sha256", &ek]).await;
    ek
}

#[tokio::test(flavor = "multi_thread")]
async fn first_boot_enrols_and_later_boots_keep_the_identity_also_offline() {
    let mut cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("sn-0001", &site);
    let ek = registered(&cloud, &device, "SN-0001").await;

    let daemon = device.start();
    let started = daemon.wait_for("enroller started");
    assert_eq!((started.field("edge_id"), started.field("ek_sha256")), ("SN-0001", ek.as_str()));
    let enrolled = daemon.wait_for("enrolled");
    let active = daemon.wait_for("active");
    assert_eq!(active.field("offline"), "false");
    let device_id = enrolled.field("device_id").to_owned();
    assert_eq!(cloud.devices().await, [(device_id.clone(), "active".to_owned())]);

    let identity = device.identity().await;
    assert_eq!(identity.state().await.unwrap(), "active");
    assert_eq!(identity.edge_id().await.unwrap(), "SN-0001");
    assert_eq!(identity.device_id().await.unwrap(), device_id);
    assert_eq!(identity.ek_sha256().await.unwrap(), ek);
    assert_eq!(identity.tenant().await.unwrap(), "demo");
    assert_eq!(identity.signature_mode().await.unwrap(), "tpm-pss");
    assert_eq!(identity.last_error_code().await.unwrap(), "");
    let chain = Chain::from_pem(&identity.get_certificate_chain().await.unwrap()).unwrap();
    assert_eq!(identity.certificate_expires().await.unwrap(), chain.not_after());
    let renewal = identity.next_renewal().await.unwrap();
    assert!(renewal > chain.not_before() + 49 * DAY && renewal < chain.not_after() - 18 * DAY);
    let checks: serde_json::Value = serde_json::from_str(&identity.check().await.unwrap()).unwrap();
    for check in checks.as_array().unwrap() {
        assert_eq!(check["outcome"], "ok", "{check}");
    }
    let public_key = device.read_state("device.pub");
    daemon.stop();

    cloud.stop().await;
    let daemon = device.start();
    let active = daemon.wait_for("active");
    assert_eq!((active.field("device_id"), active.field("offline")), (device_id.as_str(), "true"));
    let identity = device.identity().await;
    assert_eq!(identity.state().await.unwrap(), "active");
    cloud.resume().await;
    let active = daemon.wait_for("active");
    assert_eq!((active.field("device_id"), active.field("offline")), (device_id.as_str(), "false"));
    assert_eq!(device.read_state("device.pub"), public_key);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_sign_for_those_who_may() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0002", &site);
    device.arguments = ["--signature-mode", "software-pss"].map(str::to_owned).to_vec();

    let digest: [u8; 32] = Sha256::digest(b"checkpoint").into();
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    daemon.wait_for("refused");
    let identity = device.identity().await;
    identity.sign("audit", "ecdsa-p256-sha256", &digest).await.unwrap();
    let error = identity.sign("device", "rsa-pss-sha256", &digest).await.unwrap_err();
    assert!(error.to_string().contains("no identity yet"), "{error}");
    let error = identity.sign("audit", "rsa-pss-sha256", &digest).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");

    cloud.operate(&["device", "register", "SN-0002", "--ek-sha256", &ek]).await;
    daemon.wait_for("active");
    assert_eq!(identity.signature_mode().await.unwrap(), "software-pss");
    let signature = identity.sign("device", "rsa-pss-sha256", &digest).await.unwrap();
    let chain = Chain::from_pem(&identity.get_certificate_chain().await.unwrap()).unwrap();
    let spki = chain.spki().unwrap();
    let spki = spki::SubjectPublicKeyInfoRef::try_from(spki.as_slice()).unwrap();
    ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PSS_2048_8192_SHA256,
        spki.subject_public_key.raw_bytes(),
    )
    .verify(b"checkpoint", &signature)
    .unwrap();

    let audit_key = holdfast_tpm::KeyBlob::from_pem(&device.read_state("audit.tss")).unwrap();
    let spki = holdfast_enroll::est::spki_of(&audit_key).unwrap();
    let spki = spki::SubjectPublicKeyInfoRef::try_from(spki.as_slice()).unwrap();
    let point = spki.subject_public_key.raw_bytes();
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).unwrap();
    let signature = identity.sign("audit", "ecdsa-p256-sha256", &digest).await.unwrap();
    let signature = p256::ecdsa::Signature::from_der(&signature).unwrap();
    key.verify_prehash(&digest, &signature).unwrap();
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_certificate_newer_than_the_image_and_the_clock_is_accepted() {
    let mut cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0004", &site);
    registered(&cloud, &device, "SN-0004").await;
    // The device's clock now stands two years before the server's certificate begins.
    cloud.travel(730).await;
    let daemon = device.start();
    assert_eq!(daemon.wait_for("active").field("offline"), "false");
    let last_seen: u64 = device.read_state("last-seen").trim().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(last_seen > now.as_secs() + 729 * DAY, "the server's time was not taken");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_in_time_with_a_new_key_while_the_device_stays_active() {
    let mut cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0005", &site);
    registered(&cloud, &device, "SN-0005").await;
    let daemon = device.start();
    let device_id = daemon.wait_for("active").field("device_id").to_owned();
    daemon.stop();
    let (key, certificate) = (device.read_state("device.tss"), device.read_state("device.crt"));

    cloud.travel(72).await;
    let daemon = device.start();
    daemon.wait_for("active");
    let identity = device.identity().await;
    let mut transitions = identity.receive_state_transition().await.unwrap();
    let mut renewals = identity.receive_certificate_renewed().await.unwrap();
    let old = Chain::from_pem(&certificate).unwrap().serial();
    let renewed = async {
        let announced = renewals.next().await.unwrap();
        assert_ne!(announced.args().unwrap().serial(), &old, "what was there is no news");
    };
    if device.read_state("device.crt") == certificate {
        tokio::time::timeout(Duration::from_secs(60), renewed).await.unwrap();
    }
    assert_eq!(identity.state().await.unwrap(), "active");
    // How it came to be active may be announced late.
    while let Some(Some(transition)) = transitions.next().now_or_never() {
        let step = transition.args().unwrap();
        assert_ne!(step.old(), "active", "the device left the state for {}", step.new());
    }
    assert_ne!(device.read_state("device.tss"), key);
    assert_ne!(device.read_state("device.crt"), certificate);
    assert_eq!(cloud.devices().await, [(device_id, "active".to_owned())]);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_renews_and_enrols_anew_over_the_bus() {
    let mut cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0007", &site);
    registered(&cloud, &device, "SN-0007").await;
    cloud.operate(&["device", "suspend", "SN-0007"]).await;
    let daemon = device.start();
    daemon.wait_for("refused");
    let identity = device.identity().await;
    let error = identity.renew().await.unwrap_err().to_string();
    assert!(error.contains("the server refused: suspended"), "{error}");

    // The cause is gone; nobody waits for the next attempt.
    cloud.operate(&["device", "resume", "SN-0007"]).await;
    let mut serials = vec![identity.re_enroll().await.unwrap()];
    let mut renewals = identity.receive_certificate_renewed().await.unwrap();
    for renew in [true, false] {
        let serial = if renew { identity.renew().await } else { identity.re_enroll().await };
        let serial = serial.unwrap();
        let chain = Chain::from_pem(&identity.get_certificate_chain().await.unwrap()).unwrap();
        assert_eq!(chain.serial(), serial);
        let announced = tokio::time::timeout(Duration::from_secs(60), renewals.next()).await;
        assert_eq!(*announced.unwrap().unwrap().args().unwrap().serial(), serial);
        serials.push(serial);
    }
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 3, "a certificate came twice");
    assert_eq!(identity.state().await.unwrap(), "active");

    let certificate = device.read_state("device.crt");
    cloud.stop().await;
    let error = identity.renew().await.unwrap_err().to_string();
    assert!(error.contains("cannot reach"), "{error}");
    assert_eq!(identity.state().await.unwrap(), "active");
    assert_eq!(device.read_state("device.crt"), certificate);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_when_the_state_is_known_and_that_the_daemon_lives() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0006", &site);
    let path = device.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    device.environment =
        vec![("NOTIFY_SOCKET", path.display().to_string()), ("WATCHDOG_USEC", "300000".to_owned())];
    let heard = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let until = |wanted: &str| while heard().trim() != wanted {};

    let daemon = device.start();
    until("READY=1");
    let state = device.identity().await.state().await.unwrap();
    assert!(!["uninitialised", "preparing"].contains(&state.as_str()), "{state}");
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    daemon.stop();
    until("STOPPING=1");
}
