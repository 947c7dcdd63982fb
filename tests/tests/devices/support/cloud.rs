//! What the cloud knows.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use holdfast_tests::Client;
use serde_json::Value;

use super::tools;

/// The only event of a refused request.
pub fn event_of_request(cloud: &Client, request_id: &str) -> Result<Value> {
    let events = cloud.json(&["events", "--request", request_id])?;
    let items = events["items"].as_array().context("events have no items")?;
    ensure!(items.len() == 1, "request {request_id} has other than one event: {items:?}");
    Ok(items[0].clone())
}

/// The list of devices.
pub fn devices(cloud: &Client) -> Result<Vec<Value>> {
    let list = cloud.json(&["device", "list"])?;
    list["items"].as_array().cloned().context("the list of devices has no items")
}

/// A text field, or an error that shows the value.
pub fn text(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("no {field} in {value}"))
}

/// The elements of a list field.
pub fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>> {
    value[field].as_array().with_context(|| format!("no list {field} in {value}"))
}

/// One column of the registry's database, each value in hexadecimal digits: what no command prints.
pub fn column(data: &Path, query: &str) -> Result<Vec<String>> {
    const SCRIPT: &str = "\
import sqlite3, sys
base = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)
for row in base.execute(sys.argv[2]): print(row[0].hex())";
    let database = data.join("holdfast.db");
    let printed =
        tools::run(Command::new("python3").args(["-c", SCRIPT]).arg(database).arg(query))?;
    Ok(String::from_utf8(printed)?.lines().map(str::to_owned).collect())
}
