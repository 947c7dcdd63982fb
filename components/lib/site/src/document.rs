//! The shape of the TOML text, before any value is judged.

use serde::{Deserialize, Serialize};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub format: Spanned<i64>,
    pub tenant: Spanned<String>,
    pub edge_id: EdgeId,
    pub connector: Connector,
    pub trust: Trust,
    pub recovery: Option<Recovery>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeId {
    pub source: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    pub enrol_url: Spanned<String>,
    pub device_url: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    pub anchors: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    pub public_key: Spanned<String>,
}

/// The same shape for writing; [`Spanned`] does not write plain values.
#[derive(Serialize)]
pub struct Output<'a> {
    pub format: i64,
    pub tenant: &'a str,
    pub edge_id: OutputEdgeId,
    pub connector: OutputConnector<'a>,
    pub trust: OutputTrust<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<OutputRecovery<'a>>,
}

#[derive(Serialize)]
pub struct OutputEdgeId {
    pub source: String,
}

#[derive(Serialize)]
pub struct OutputConnector<'a> {
    pub enrol_url: &'a str,
    pub device_url: &'a str,
}

#[derive(Serialize)]
pub struct OutputTrust<'a> {
    pub anchors: Vec<&'a str>,
}

#[derive(Serialize)]
pub struct OutputRecovery<'a> {
    pub public_key: &'a str,
}
