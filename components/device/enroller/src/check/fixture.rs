//! A daemon at rest: active, its keys at hand, its clock set by the server.

use std::sync::Arc;

use holdfast_ipc::identity::{IdentityStatus, State};

use super::{Context, Outcome, Run};
use crate::certificate::samples;
use crate::clock::{Clock, SystemTimeSource, Validity};
use crate::keyring::Keys;

/// The time of every fixture.
pub(super) const NOW: u64 = 4_000_000_000;

pub(super) struct Fixture {
    pub(super) status: IdentityStatus,
    pub(super) keys: Keys,
    pub(super) clock: Clock,
    pub(super) device_key_loads: Option<Result<(), String>>,
    pub(super) chain_verifies: Option<Result<(), String>>,
}

impl Fixture {
    pub(super) fn active() -> Self {
        let clock = Clock::new(Box::new(SystemTimeSource::default()), NOW);
        clock.synchronise(NOW + 1, Validity { not_before: 0, not_after: u64::MAX }).unwrap();
        let status = IdentityStatus {
            state: State::Active,
            edge_id: samples::EDGE_ID.into(),
            certificate_expires: NOW + 100_000_000,
            next_renewal: NOW + 50_000_000,
            ..IdentityStatus::default()
        };
        let chain: Arc<str> = samples::chain("device-1", b"key").to_pem().unwrap().into();
        let keys = Keys { chain: Some(chain), ..Keys::default() };
        Self { status, keys, clock, device_key_loads: Some(Ok(())), chain_verifies: Some(Ok(())) }
    }

    /// The same before the server was spoken to.
    pub(super) fn offline() -> Self {
        let clock = Clock::new(Box::new(SystemTimeSource::default()), NOW);
        Self { clock, ..Self::active() }
    }

    /// Runs a check and compares the outcome and a part of its text or advice.
    pub(super) fn expect(&self, run: Run, outcome: Outcome, part: &str) {
        let finding = run(&Context {
            status: &self.status,
            keys: &self.keys,
            clock: &self.clock,
            device_key_loads: self.device_key_loads.clone(),
            chain_verifies: self.chain_verifies.clone(),
        });
        let said = format!("{} {}", finding.text, finding.advice.as_deref().unwrap_or_default());
        assert!(finding.outcome == outcome && said.contains(part), "{part}: {finding:?}");
        assert_eq!(finding.advice.is_none(), outcome == Outcome::Ok, "{finding:?}");
    }
}
