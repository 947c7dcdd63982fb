//! Groups, and what they decide of an enrolment.

use holdfast_cloud::cli::ClientError;
use holdfast_cloud::registry::Digest;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::device::{Device, Tpm as _, certificates};
use crate::support::http::Dial;
use crate::support::software::SoftwareTpm;
use crate::support::{Fixture, client};

const EDGE_ID: &str = "SN-0001";

async fn set(fixture: &Fixture, name: &str, policy: &str) -> Result<Value, ClientError> {
    let body = json!({ "name": name, "quote_policy": policy });
    fixture.admin.post("/api/v1/groups", &body).await
}

async fn move_to(fixture: &Fixture, device: &str, group: Value) -> Result<Value, ClientError> {
    let path = format!("/api/v1/devices/{device}/move-group");
    fixture.admin.post(&path, &json!({ "group": group })).await
}

async fn register(fixture: &Fixture, ek: Digest, more: Value) -> Result<Value, ClientError> {
    let mut body = json!({ "edge_id": EDGE_ID, "ek_sha256": ek });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fixture.admin.post("/api/v1/devices", &body).await
}

fn code(result: Result<Value, ClientError>) -> String {
    match result {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

#[tokio::test]
async fn an_unknown_boot_is_judged_by_the_devices_own_mode_then_its_group_then_enforced() {
    for (own, group, is_let_in) in [
        (None, None, false),
        (None, Some("enforce"), false),
        (None, Some("record"), true),
        (Some("enforce"), Some("record"), false),
        (Some("record"), Some("enforce"), true),
    ] {
        let shown = format!("{own:?} {group:?}");
        // No release is published: whatever the device booted is unknown.
        let fixture = Fixture::start().await;
        let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
        let mut more = json!({ "quote_mode": own });
        if let Some(policy) = group {
            set(&fixture, "lab", policy).await.unwrap();
            more["group"] = json!("lab");
        }
        register(&fixture, device.tpm.ek_sha256(), more).await.unwrap();
        let answer = device.try_enrol(&fixture.server).await;

        let detail = fixture.device(EDGE_ID).await;
        let event = fixture.last_event().await;
        assert_eq!(event["severity"], json!("warning"), "{shown}");
        if is_let_in {
            assert_eq!(answer.status, StatusCode::OK, "{shown}");
            assert_eq!(detail["quote_policy"], json!("record"), "{shown}");
            let deviation = detail["enrolments"][0]["deviation"].as_str().unwrap();
            assert!(deviation.contains("release-unknown"), "{shown}: {deviation}");
            let told = event["detail"].as_str().unwrap();
            assert!(
                told.contains("not as expected: check 9 failed (release-unknown)"),
                "{shown}: {told}"
            );
        } else {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{shown}");
            assert_eq!(answer.code(), "release-unknown", "{shown}");
            assert_eq!(event["code"], json!("release-unknown"), "{shown}");
            assert_eq!(detail["quote_policy"], json!("enforce"), "{shown}");
            assert_eq!(detail["state"], json!("registered"), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_change_of_group_or_policy_counts_from_the_next_enrolment_and_renewal() {
    let fixture = Fixture::start().await;
    set(&fixture, "lab", "record").await.unwrap();
    set(&fixture, "field", "enforce").await.unwrap();
    let mut device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    register(&fixture, device.tpm.ek_sha256(), json!({ "group": "lab" })).await.unwrap();
    let chain = device.enrol(&fixture.server).await;
    let key = device.tpm.private_key();
    let dial = || Dial::est(&fixture.server).with_identity(chain.clone(), key.clone_key());

    device.tpm.renew_device_key();
    let moved = move_to(&fixture, EDGE_ID, json!("field")).await.unwrap();
    assert_eq!((&moved["group"], &moved["quote_policy"]), (&json!("field"), &json!("enforce")));
    assert_eq!(device.try_renew(dial()).await.code(), "release-unknown");
    assert_eq!(device.try_enrol(&fixture.server).await.code(), "release-unknown");

    let set_again = set(&fixture, "field", "record").await.unwrap();
    assert_eq!((&set_again["devices"], &set_again["quote_policy"]), (&json!(1), &json!("record")));
    assert_eq!(certificates(&device.try_renew(dial()).await.body).len(), 2);

    let alone = move_to(&fixture, EDGE_ID, Value::Null).await.unwrap();
    assert_eq!((&alone["group"], &alone["quote_policy"]), (&Value::Null, &json!("enforce")));
    assert_eq!(device.try_enrol(&fixture.server).await.code(), "release-unknown");
}

#[tokio::test]
async fn groups_are_made_shown_and_removed_and_each_change_is_recorded() {
    let fixture = Fixture::start().await;
    assert_eq!(code(fixture.admin.get("/api/v1/groups/lab").await), "not-found");
    let ek = Digest([7; 32]);
    let unknown = register(&fixture, ek, json!({ "group": "lab" })).await;
    assert_eq!(code(unknown), "group-unknown");
    set(&fixture, "lab", "record").await.unwrap();
    register(&fixture, ek, json!({ "group": "lab" })).await.unwrap();

    let shown: Value = fixture.admin.get("/api/v1/groups/lab").await.unwrap();
    assert_eq!((&shown["devices"], &shown["tenant"]), (&json!(1), &json!("demo")));
    let listed: Value = fixture.admin.get("/api/v1/groups?tenant=demo").await.unwrap();
    assert_eq!(listed["items"], json!([shown]));
    let other: Value = fixture.admin.get("/api/v1/groups?tenant=other").await.unwrap();
    assert_eq!(other["items"], json!([]));
    let inside: Value = fixture.admin.get("/api/v1/devices?group=lab").await.unwrap();
    assert_eq!(inside["items"][0]["edge_id"], json!(EDGE_ID));
    let inside: Value = fixture.admin.get("/api/v1/devices?group=field").await.unwrap();
    assert_eq!(inside["items"], json!([]));

    let remove = || fixture.admin.post::<Value>("/api/v1/groups/lab/remove", &());
    assert_eq!(code(remove().await), "group-in-use");
    assert_eq!(code(move_to(&fixture, EDGE_ID, json!("field")).await), "group-unknown");
    // The device goes, and its record loses the group.
    fixture.change(EDGE_ID, "retire").await.unwrap();
    remove().await.unwrap();
    assert_eq!(fixture.device(EDGE_ID).await["group"], Value::Null);
    assert_eq!(code(remove().await), "not-found");

    let records: Vec<_> = fixture
        .audit()
        .await
        .into_iter()
        .rev()
        .filter(|(action, ..)| action.contains("group"))
        .map(|(action, _, outcome)| format!("{action} {outcome}"))
        .collect();
    let expected = [
        "group.set ok",
        "group.remove failed",
        "registry.move-group failed",
        "group.remove ok",
        "group.remove failed",
    ];
    assert_eq!(records, expected);
}

#[tokio::test]
async fn a_group_is_of_one_tenant() {
    let fixture = Fixture::start().await;
    let body = json!({ "name": "lab", "quote_policy": "record", "tenant": "other" });
    let _: Value = fixture.admin.post("/api/v1/groups", &body).await.unwrap();
    let ek = Digest([7; 32]);
    assert_eq!(code(register(&fixture, ek, json!({ "group": "lab" })).await), "group-unknown");
    register(&fixture, ek, json!({})).await.unwrap();
    assert_eq!(code(move_to(&fixture, EDGE_ID, json!("lab")).await), "group-unknown");
}

#[tokio::test]
async fn bad_groups_say_which_field_and_only_an_administrator_sets_a_policy() {
    let fixture = Fixture::start().await;
    for (body, part) in [
        (json!({ "name": "Lab", "quote_policy": "record" }), "\"Lab\" is not a group"),
        (json!({ "name": "lab" }), "quote_policy"),
        (json!({ "name": "lab", "quote_policy": "ignore" }), "ignore"),
        (json!({ "name": "lab", "quote_policy": "record", "colour": "red" }), "colour"),
    ] {
        let refused = fixture.admin.post::<Value>("/api/v1/groups", &body).await;
        let Err(ClientError::Refused { code, detail, .. }) = refused else { panic!("{body}") };
        assert_eq!(code, "malformed-request", "{body}");
        assert!(detail.contains(part), "{body}: {detail}");
    }
    set(&fixture, "lab", "record").await.unwrap();
    register(&fixture, Digest([7; 32]), json!({})).await.unwrap();
    let path = format!("/api/v1/devices/{EDGE_ID}/move-group");
    // A body that does not say where is no order to leave the group.
    assert_eq!(code(fixture.admin.post(&path, &json!({})).await), "malformed-request");

    let body = json!({ "name": "operator", "role": "operator" });
    let key: Value = fixture.admin.post("/api/v1/api-keys", &body).await.unwrap();
    let operator = client(&fixture.server, key["key"].as_str().unwrap());
    let body = json!({ "name": "lab", "quote_policy": "enforce" });
    assert_eq!(code(operator.post("/api/v1/groups", &body).await), "role-missing");
    let _: Value = operator.post(&path, &json!({ "group": "lab" })).await.unwrap();
}

#[tokio::test]
async fn a_table_puts_devices_into_groups() {
    let fixture = Fixture::start().await;
    set(&fixture, "lab", "record").await.unwrap();
    let table = |group: &str| {
        format!("edge_id,binding,group\nSN-1,ek_ca,lab\nSN-2,ek_ca,{group}\nSN-3,ek_ca,\n")
    };
    let import =
        |table: String| fixture.admin.post_csv::<Value>("/api/v1/devices/import", table.into());
    let refused = import(table("field")).await.unwrap_err().to_string();
    assert!(refused.contains("line 3: tenant demo has no group field"), "{refused}");
    import(table("lab")).await.unwrap();
    for (device, policy) in [("SN-1", "record"), ("SN-2", "record"), ("SN-3", "enforce")] {
        assert_eq!(fixture.device(device).await["quote_policy"], json!(policy), "{device}");
    }
}
