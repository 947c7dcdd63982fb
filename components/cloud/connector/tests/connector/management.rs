//! The management API: keys, roles, conflicts, and what is recorded.

use holdfast_cloud::cli::ClientError;
use serde_json::{Value, json};

use crate::support::{Fixture, client, release};

const EK: &str = "abababababababababababababababababababababababababababababababab";
const OTHER_EK: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

fn code(result: Result<Value, ClientError>) -> String {
    match result {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

async fn register(fixture: &Fixture, edge_id: &str, ek: &str) -> Result<Value, ClientError> {
    let body = json!({ "edge_id": edge_id, "ek_sha256": ek });
    fixture.admin.post("/api/v1/devices", &body).await
}

#[tokio::test]
async fn an_edge_id_and_a_tpm_are_registered_once() {
    let fixture = Fixture::start().await;
    let device = register(&fixture, " sn-1 ", EK).await.unwrap();
    assert_eq!(device["edge_id"], json!("SN-1"));
    assert_eq!(device["tenant"], json!("demo"));
    assert_eq!(device["state"], json!("registered"));
    assert_eq!(code(register(&fixture, "SN-1", OTHER_EK).await), "edge-id-registered");
    assert_eq!(code(register(&fixture, "SN-2", EK).await), "tpm-registered");
    let failed = ("registry.register".into(), "allowed".into(), "failed".into());
    assert_eq!(fixture.audit().await[0], failed);
    // By id, by Edge ID in any case.
    let id = device["id"].as_str().unwrap();
    for name in [id, "SN-1", "sn-1"] {
        assert_eq!(fixture.device(name).await["id"], device["id"], "{name}");
    }
}

#[tokio::test]
async fn bad_registrations_say_which_field() {
    let fixture = Fixture::start().await;
    for (body, field) in [
        (json!({ "edge_id": "Default string", "ek_sha256": EK }), "edge_id"),
        (json!({ "edge_id": "SN-1", "ek_sha256": "ab" }), "ab"),
        (json!({ "edge_id": "SN-1" }), "ek_sha256"),
        (json!({ "edge_id": "SN-1", "ek_sha256": EK, "colour": "red" }), "colour"),
        (json!({ "edge_id": "SN-1", "ek_sha256": EK, "tenant": "A B" }), "A B"),
        (json!({ "edge_id": "SN-1", "ek_sha256": EK, "note": "n".repeat(501) }), "note"),
    ] {
        let refused: Result<Value, _> = fixture.admin.post("/api/v1/devices", &body).await;
        let Err(ClientError::Refused { code, detail, .. }) = refused else { panic!("{body}") };
        assert_eq!(code, "malformed-request", "{body}");
        assert!(detail.contains(field), "{body}: {detail}");
    }
}

#[tokio::test]
async fn a_name_that_two_tenants_use_needs_its_tenant() {
    let fixture = Fixture::start().await;
    register(&fixture, "SN-1", EK).await.unwrap();
    let body = json!({ "edge_id": "SN-1", "ek_sha256": OTHER_EK, "tenant": "other" });
    let other: Value = fixture.admin.post("/api/v1/devices", &body).await.unwrap();
    assert_eq!(code(fixture.admin.get("/api/v1/devices/SN-1").await), "ambiguous");
    let shown = fixture.device("SN-1?tenant=other").await;
    assert_eq!(shown["id"], other["id"]);
}

#[tokio::test]
async fn devices_are_listed_page_by_page() {
    let fixture = Fixture::start().await;
    for number in 0..7 {
        register(&fixture, &format!("SN-{number}X"), &format!("{number:02}").repeat(32))
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page: Value =
            fixture.admin.get(&format!("/api/v1/devices?limit=3{after}")).await.unwrap();
        let items = page["items"].as_array().unwrap();
        let Some(last) = items.last() else { break };
        after = format!("&after={}", last["id"].as_str().unwrap());
        seen.extend(items.iter().map(|device| device["edge_id"].to_string()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
    let none: Value = fixture.admin.get("/api/v1/devices?state=active").await.unwrap();
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn roles_bound_what_a_key_may_do() {
    let fixture = Fixture::start().await;
    register(&fixture, "SN-1", EK).await.unwrap();
    for (role, may_register, may_publish) in
        [("viewer", false, false), ("operator", true, false), ("admin", true, true)]
    {
        let body = json!({ "name": role, "role": role });
        let key: Value = fixture.admin.post("/api/v1/api-keys", &body).await.unwrap();
        let caller = client(&fixture.server, key["key"].as_str().unwrap());
        let read: Result<Value, _> = caller.get("/api/v1/devices/SN-1").await;
        assert!(read.is_ok(), "{role}");
        let suspended: Result<Value, _> =
            caller.post("/api/v1/devices/SN-1/suspend", &json!({})).await;
        assert_eq!(suspended.is_ok(), may_register, "{role}");
        if may_register {
            let _: Value = caller.post("/api/v1/devices/SN-1/resume", &json!({})).await.unwrap();
        } else {
            assert_eq!(code(suspended), "role-missing");
            let denied = ("registry.suspend".into(), "denied".into(), "failed".into());
            assert_eq!(fixture.audit().await[0], denied);
        }
        let published: Result<Value, _> = caller.post("/api/v1/releases", &release([1; 32])).await;
        assert_eq!(published.is_ok(), may_publish, "{role}");
    }
}

#[tokio::test]
async fn only_keys_in_force_open_the_api() {
    let fixture = Fixture::start().await;
    let body = json!({ "name": "robot", "role": "viewer" });
    let key: Value = fixture.admin.post("/api/v1/api-keys", &body).await.unwrap();
    let text = key["key"].as_str().unwrap();
    let robot = client(&fixture.server, text);
    let _: Value = robot.get("/api/v1/devices").await.unwrap();

    let last = if text.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}", &text[..text.len() - 1]);
    for wrong in ["", "hf_000000000000_00", forged.as_str()] {
        let refused = client(&fixture.server, wrong).get("/api/v1/devices").await;
        assert_eq!(code(refused), "api-key-needed", "{wrong:?}");
    }
    let path = format!("/api/v1/api-keys/{}/revoke", key["id"].as_str().unwrap());
    let _: Value = fixture.admin.post(&path, &json!({})).await.unwrap();
    assert_eq!(code(robot.get("/api/v1/devices").await), "api-key-needed");

    let keys: Value = fixture.admin.get("/api/v1/api-keys").await.unwrap();
    assert!(!keys.to_string().contains(&text[text.len() - 40..]), "secrets are not listed");
}

#[tokio::test]
async fn a_site_must_parse_and_is_added_once() {
    let fixture = Fixture::start().await;
    let bad: Result<Value, _> =
        fixture.admin.post("/api/v1/sites", &json!({ "document": "tenant = 1" })).await;
    assert_eq!(code(bad), "malformed-request");
    let records = fixture.audit().await.len();
    let again: Value =
        fixture.admin.post("/api/v1/sites", &json!({ "document": fixture.site })).await.unwrap();
    assert_eq!(again["tenant"], json!("demo"));
    assert_eq!(fixture.audit().await.len(), records);
}

#[tokio::test]
async fn without_a_site_the_tenant_must_be_named() {
    let fixture = Fixture::start().await;
    let document = fixture.site.replace("\"demo\"", "\"second\"");
    let _: Value =
        fixture.admin.post("/api/v1/sites", &json!({ "document": document })).await.unwrap();
    assert_eq!(code(register(&fixture, "SN-1", EK).await), "malformed-request");
}
