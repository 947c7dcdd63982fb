//! The program as a user runs it, against a service on a private bus.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod usb;
mod world;

use std::{fs, io::BufRead, io::BufReader, process::Stdio};

use holdfast_ipc::identity::State;
use world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_identity() {
    let world = World::start().await;
    let status = world.run(&["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.out.contains("waiting_for_approval: an operator has to approve"), "{status:?}");
    assert!(status.out.contains("Edge ID      EDGE-1\n"), "{status:?}");

    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["status", "--json"]).out).unwrap();
    assert_eq!(json["state"], "waiting_for_approval");
    assert_eq!(json["edge_id"], "EDGE-1");

    let identity = world.run(&["identity"]);
    assert!(identity.out.contains("Certificate  serial 0a0b0c"), "{identity:?}");
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["--json", "identity"]).out).unwrap();
    assert_eq!(json["certificate"]["key"], "RSA-2048");
    assert_eq!(json["certificate"]["attested"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_prints_each_change_without_escapes() {
    let world = World::start().await;
    let mut child = world
        .command(&["status", "--watch"])
        .env("TERM", "dumb")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next_state = move || {
        let line = lines.find(|line| line.as_ref().unwrap().starts_with("State")).unwrap().unwrap();
        assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(next_state(), "waiting_for_approval:");
    for state in [State::Enrolling, State::Activating, State::Active] {
        world.status.update(|status| status.state = state);
    }
    assert_eq!(next_state(), "enrolling:");
    assert_eq!(next_state(), "activating:");
    assert_eq!(next_state(), "active:");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sealed_and_opened() {
    let world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes");
    let path = file.to_str().unwrap();
    let content = vec![42; 100_000];
    fs::write(&file, &content).unwrap();

    let sealed = world.run(&["seal", path]);
    assert_eq!(sealed.code, 0, "{sealed:?}");
    let sealed_path = format!("{path}.sealed");
    assert!(!fs::read(&sealed_path).unwrap().windows(16).any(|part| part == [42; 16]));
    assert_eq!(fs::read(&file).unwrap(), content, "the original stays");

    let in_the_way = world.run(&["unseal", &sealed_path]);
    assert_eq!(in_the_way.code, 1, "{in_the_way:?}");
    assert!(in_the_way.err.contains("is there already"), "{in_the_way:?}");

    let opened = world.run(&["unseal", &sealed_path, "--force"]);
    assert_eq!(opened.code, 0, "{opened:?}");
    assert_eq!(fs::read(&file).unwrap(), content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_device_is_refused_and_nothing_is_left() {
    let (one, other) = (World::start().await, World::start().await);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes");
    fs::write(&file, "secret").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(one.run(&["seal", path]).code, 0);
    fs::remove_file(&file).unwrap();

    let refused = other.run(&["unseal", &format!("{path}.sealed")]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("cannot be opened on this device"), "{refused:?}");
    assert!(refused.err.contains("sealed on another device"), "{refused:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the sealed file is there");

    let mut bytes = fs::read(format!("{path}.sealed")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = dir.path().join("damaged.sealed");
    fs::write(&damaged, bytes).unwrap();
    let failed = one.run(&["unseal", damaged.to_str().unwrap()]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.err.contains("it is damaged"), "{failed:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_replaced_by_order_and_a_failure_says_why() {
    let world = World::start().await;
    world.status.update(|status| {
        status.certificate_expires = 4_000_000_000;
        status.next_renewal = 3_000_000_000;
    });
    let renewed = world.run(&["renew"]);
    assert_eq!(renewed.code, 0, "{renewed:?}");
    assert!(renewed.out.starts_with("Certificate  serial 0d0e0f, in use\n"), "{renewed:?}");
    assert!(renewed.out.contains("  until      2096-10-02T07:06:40Z"), "{renewed:?}");
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["renew", "--json"]).out).unwrap();
    assert_eq!(json["serial"], "0d0e0f");
    assert_eq!(json["certificate_expires"], 4_000_000_000_u64);
    assert_eq!(json["next_renewal"], 3_000_000_000_u64);

    let refused = world.run(&["re-enroll"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("the server refused: suspended"), "{refused:?}");
    assert_eq!(refused.out, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_printed_alone_and_a_refusal_says_why() {
    let world = World::start().await;
    let token = world.run(&["token", "telemetry"]);
    assert_eq!((token.code, token.out.as_str()), (0, "e30.e30.c2ln\n"), "{token:?}");
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["token", "telemetry", "--json"]).out).unwrap();
    assert_eq!(json["expires"], 4_000_000_000_u64);
    let unknown = world.run(&["token", "other"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.err.contains("audience-not-allowed"), "{unknown:?}");
    let closed = world.run(&["token", "closed"]);
    assert_eq!(closed.code, 3, "{closed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_when_nothing_is_there() {
    let world = World::start().await;
    for arguments in [&["status", "--colour"][..], &["check", "no-such-check"], &[]] {
        assert_eq!(world.run(arguments).code, 2, "{arguments:?}");
    }
    world.connection.release_name("org.holdfast.Identity1").await.unwrap();
    let away = world.run(&["status"]);
    assert_eq!(away.code, 4, "{away:?}");
    assert!(away.err.contains("systemctl status holdfast-enroll"), "{away:?}");

    let no_bus = World::run_without_bus(&["identity"]);
    assert_eq!(no_bus.code, 4, "{no_bus:?}");
    let check = World::run_without_bus(&["check", "enrolment", "--json"]);
    assert_eq!(check.code, 1, "{check:?}");
    let json: serde_json::Value = serde_json::from_str(&check.out).unwrap();
    assert_eq!(json["checks"][0]["id"], "enrolment");
    assert_eq!(json["checks"][0]["outcome"], "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_includes_the_services_own_checks() {
    let world = World::start().await;
    let check = world.run(&["check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&check.out).unwrap();
    let ids: Vec<_> =
        json["checks"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"tpm") && ids.contains(&"identity-keys"), "{ids:?}");
    let named = world.run(&["check", "enrolment"]);
    assert!(named.out.starts_with("warning  enrolment"), "{named:?}");
    assert_eq!(named.code, 0, "a warning is no failure: {named:?}");
}
