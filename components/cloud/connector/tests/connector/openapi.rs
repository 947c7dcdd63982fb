//! openapi.yaml says what the server does.

use std::collections::BTreeSet;

use holdfast_cloud::{device_api, management};
use serde_yaml_ng::Value;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn described() -> BTreeSet<(String, String)> {
    let document: Value = serde_yaml_ng::from_str(management::OPENAPI).unwrap();
    let mut all = BTreeSet::new();
    for (path, item) in document["paths"].as_mapping().unwrap() {
        for method in METHODS {
            if item.get(method).is_some() {
                all.insert((method.to_owned(), path.as_str().unwrap().to_owned()));
            }
        }
    }
    all
}

#[test]
fn the_description_has_the_routes_of_the_router() {
    let served: BTreeSet<_> = management::routes()
        .into_iter()
        .map(|route| (route.method.as_str().to_ascii_lowercase(), route.path.to_owned()))
        .chain(device_api::ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned())))
        .collect();
    assert_eq!(described(), served);
}

#[test]
fn every_change_has_a_role_and_a_name_in_the_audit() {
    for route in management::routes() {
        let changes = route.method != http::Method::GET;
        assert_eq!(changes, route.act.is_some(), "{}", route.path);
        assert!(!changes || route.role.is_some(), "{}", route.path);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document: Value = serde_yaml_ng::from_str(management::OPENAPI).unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let mut at = &document;
        for part in reference.trim_start_matches("#/").split('/') {
            at = at.get(part).unwrap_or_else(|| panic!("{reference}"));
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                if key.as_str() == Some("$ref") {
                    references.push(value.as_str().unwrap().to_owned());
                }
                collect(value, references);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
