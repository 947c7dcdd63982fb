//! Devices for the tests of this module.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Approval, Device, DeviceState, Digest, QuoteMode};

pub(super) fn device(edge_id: &str, ek_sha256: Digest, state: DeviceState) -> Device {
    Device {
        id: Uuid::from_u128(7),
        tenant: "demo".parse().unwrap(),
        edge_id: edge_id.to_owned(),
        ek_sha256,
        state,
        state_before_suspension: None,
        approval: Approval::Auto,
        quote_mode: QuoteMode::Enforce,
        pcr7: None,
        note: None,
        registered_at: OffsetDateTime::UNIX_EPOCH,
        registered_by: "admin".into(),
        changed_at: OffsetDateTime::UNIX_EPOCH,
        changed_by: "admin".into(),
        enrolled_at: None,
        last_seen_at: None,
    }
}
