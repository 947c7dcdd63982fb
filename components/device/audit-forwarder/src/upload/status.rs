//! How the upload goes, for people.

use serde::Serialize;

/// What the uploader is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadState {
    /// It waits for an identity, for the network, or for the connector.
    #[default]
    Waiting,
    /// It sends.
    Sending,
    /// Everything is sent.
    Idle,
}

/// How the upload goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UploadStatus {
    /// What it does.
    pub state: UploadState,
    /// Records that the connector signed for.
    pub accepted: Option<u64>,
    /// Why it waits, where something is wrong.
    pub error: Option<String>,
}
