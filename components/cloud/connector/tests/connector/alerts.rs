//! What an operator must look at.

use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::device::{Device, Tpm as _};
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";

async fn alerts(fixture: &Fixture, query: &str) -> Vec<Value> {
    let listed: Value = fixture.admin.get(&format!("/api/v1/alerts{query}")).await.unwrap();
    listed["items"].as_array().unwrap().clone()
}

async fn acknowledge(fixture: &Fixture, id: &Value) -> Result<Value, String> {
    let path = format!("/api/v1/alerts/{id}/acknowledge");
    fixture.admin.post(&path, &json!(null)).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_stolen_edge_id_alarms_until_an_operator_has_seen_it() {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let genuine = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, genuine.tpm.ek_sha256()).await;
    genuine.enrol(&fixture.server).await;
    assert!(alerts(&fixture, "").await.is_empty(), "normal life is no alert");

    let thief = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    for count in 1..=3 {
        thief.try_enrol(&fixture.server).await;
        let open = alerts(&fixture, "").await;
        assert_eq!(open.len(), 1);
        assert_eq!(open[0]["count"], json!(count));
    }
    let first = alerts(&fixture, "").await.remove(0);
    assert_eq!(first["event"]["edge_id"], json!(EDGE_ID));
    assert_eq!(first["event"]["severity"], json!("alert"));
    assert_eq!(first["acknowledged_at"], Value::Null);

    let closed = acknowledge(&fixture, &first["id"]).await.unwrap();
    assert!(closed["acknowledged_at"].is_string() && closed["acknowledged_by"].is_string());
    assert!(alerts(&fixture, "").await.is_empty());
    assert_eq!(alerts(&fixture, "?all=true").await, [closed]);
    let refusal = acknowledge(&fixture, &first["id"]).await.unwrap_err();
    assert!(refusal.contains("was acknowledged by"), "{refusal}");
    assert!(acknowledge(&fixture, &json!(77)).await.unwrap_err().contains("there is no alert 77"));

    // It goes on: a new alert, beside the one that was seen.
    thief.try_enrol(&fixture.server).await;
    let again = alerts(&fixture, "").await;
    assert_eq!((again.len(), &again[0]["count"]), (1, &json!(1)));
    assert_eq!(alerts(&fixture, "?all=true").await.len(), 2);
    assert_eq!(alerts(&fixture, "?all=true&limit=1").await.len(), 1);

    let audit: Value = fixture.admin.get("/api/v1/audit?limit=1000").await.unwrap();
    let acts = audit["items"].as_array().unwrap().iter();
    let acts: Vec<_> =
        acts.filter(|stored| stored["record"]["action"] == json!("alert.acknowledge")).collect();
    assert_eq!(acts.len(), 3, "one done, two failed");
}
