//! Tables of devices.

use serde_json::{Value, json};

use crate::support::Fixture;

async fn import(fixture: &Fixture, query: &str, table: &str) -> Result<Value, String> {
    let path = format!("/api/v1/devices/import{query}");
    fixture.admin.post_csv(&path, table.into()).await.map_err(|error| error.to_string())
}

async fn count(fixture: &Fixture) -> usize {
    let listed: Value = fixture.admin.get("/api/v1/devices").await.unwrap();
    listed["items"].as_array().unwrap().len()
}

async fn records(fixture: &Fixture) -> usize {
    let listed: Value = fixture.admin.get("/api/v1/audit?limit=1000").await.unwrap();
    let records = listed["items"].as_array().unwrap();
    records.iter().filter(|stored| stored.to_string().contains("registry.import")).count()
}

fn ek(number: u32) -> String {
    format!("{number:064x}")
}

#[tokio::test]
async fn a_table_is_registered_all_or_none() {
    let fixture = Fixture::start().await;
    let good = format!(
        "edge_id,ek_sha256,binding,note\nSN-1,{},,rack 1\nsn-2,,ek_ca,\nSN-3,,pairing_code,\n\
         SN-4,,plain_est,\n",
        ek(1)
    );
    let tried = import(&fixture, "?dry_run=true", &good).await.unwrap();
    assert_eq!(tried, json!({ "registered": 4, "dry_run": true, "secrets": [] }));
    assert_eq!((count(&fixture).await, records(&fixture).await), (0, 0));

    let done = import(&fixture, "", &good).await.unwrap();
    assert_eq!((&done["registered"], &done["dry_run"]), (&json!(4), &json!(false)));
    let secrets = done["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 2);
    assert_eq!(secrets[0]["edge_id"], json!("SN-3"));
    assert!(secrets[0]["pairing_code"].is_string() && secrets[1]["enrolment_secret"].is_string());
    assert_eq!((count(&fixture).await, records(&fixture).await), (4, 1));
    let shown = fixture.device("SN-2").await;
    assert_eq!((&shown["binding"], &shown["approval"]), (&json!("ek_ca"), &json!("manual")));
    assert_eq!(fixture.device("SN-1").await["note"], json!("rack 1"));

    // The last line contradicts what is there: none of the table is registered.
    for (line, code) in [
        (format!("sn-2,{}", ek(12)), "Edge ID SN-2 is registered already"),
        (format!("SN-12,{}", ek(1)), "this TPM is registered already"),
    ] {
        let table = format!("edge_id,ek_sha256\nSN-10,{}\nSN-11,{}\n{line}\n", ek(10), ek(11));
        for query in ["?dry_run=true", ""] {
            let refusal = import(&fixture, query, &table).await.unwrap_err();
            assert!(refusal.contains("line 4: ") && refusal.contains(code), "{refusal}");
        }
        assert_eq!(count(&fixture).await, 4);
    }
    // Two lines of one TPM.
    let table = format!("edge_id,ek_sha256\nSN-20,{0}\nSN-21,{0}\n", ek(20));
    let refusal = import(&fixture, "", &table).await.unwrap_err();
    assert!(
        refusal.contains("line 3: this TPM is registered already, as Edge ID SN-20"),
        "{refusal}"
    );
    assert_eq!(count(&fixture).await, 4);
    // What was refused is in the audit; what was only tried is not.
    assert_eq!(records(&fixture).await, 4);
}

#[tokio::test]
async fn faults_of_a_table_are_told_with_their_lines() {
    let fixture = Fixture::start().await;
    let mut table = "edge_id,ek_sha256\nTo be filled by O.E.M.,\nSN-1,\n".to_owned();
    let refusal = import(&fixture, "", &table).await.unwrap_err();
    assert!(refusal.contains("line 2: edge_id: "), "{refusal}");
    assert!(refusal.contains("line 3: ek_sha256: it is missing"), "{refusal}");
    for number in 2..100 {
        table.push_str(&["SN-", &number.to_string(), ",\n"].concat());
    }
    let refusal = import(&fixture, "", &table).await.unwrap_err();
    assert!(refusal.contains("and 80 more; nothing was registered"), "{refusal}");
    let refusal = import(&fixture, "?tenant=nobody&more=1", "edge_id\nA\n").await.unwrap_err();
    assert!(refusal.contains("more"), "{refusal}");
    assert_eq!(count(&fixture).await, 0);

    // JSON is no table, and a body has its limit.
    let json = json!({ "edge_id": "SN-1" });
    let refusal = fixture.admin.post::<Value>("/api/v1/devices/import", &json).await.unwrap_err();
    assert!(refusal.to_string().contains("text/csv"), "{refusal}");
    let large = "x".repeat((32 << 20) + 1);
    let refusal = import(&fixture, "", &large).await.unwrap_err();
    assert!(refusal.contains("limit") || refusal.contains("large"), "{refusal}");
}

#[tokio::test]
async fn a_hundred_thousand_devices_are_imported_in_one_go() {
    let fixture = Fixture::start().await;
    let line = |number| format!("FLEET-{number},{},hall {}\n", ek(number), number % 9);
    let lines: String = (0..100_000).map(line).collect();
    let table = format!("edge_id,ek_sha256,note\n{lines}");
    let done = import(&fixture, "", &table).await.unwrap();
    assert_eq!(done["registered"], json!(100_000));
    assert_eq!(fixture.device("FLEET-99999").await["ek_sha256"], json!(ek(99_999)));
    assert_eq!(fixture.device("FLEET-0").await["note"], json!("hall 0"));
}
