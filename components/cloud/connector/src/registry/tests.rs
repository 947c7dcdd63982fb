//! Devices for the tests of this module.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Approval, Binding, Device, DeviceState, Digest, QuoteMode};

pub(super) fn device(edge_id: &str, ek_sha256: Digest, state: DeviceState) -> Device {
    Device {
        id: Uuid::from_u128(7),
        tenant: "demo".parse().unwrap(),
        edge_id: edge_id.to_owned(),
        binding: Binding::EkSha256,
        ek_sha256: Some(ek_sha256),
        tpm_unproven: false,
        not_after: None,
        state,
        state_before_suspension: None,
        approval: Approval::Auto,
        quote_mode: None,
        group: None,
        quote_policy: QuoteMode::Enforce,
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
