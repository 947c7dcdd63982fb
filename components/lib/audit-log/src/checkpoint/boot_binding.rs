//! What ties a checkpoint to one start of one TPM.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::Problem;
use super::lines::decimal;

/// The TPM's clock (TPM 2.0 Library, Part 2, `TPMS_CLOCK_INFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmClock {
    /// Milliseconds that the TPM was powered; never goes back, but by clearing the TPM.
    pub clock_ms: u64,
    /// Starts of the TPM with loss of state since it was cleared.
    pub reset_count: u32,
    /// Starts with saved state, and interrupted hashes, since the last reset.
    pub restart_count: u32,
    /// Whether no larger clock was reported before an orderly shutdown failed to save it.
    pub is_safe: bool,
}

/// What the first checkpoint of a boot carries: an old disk, put back, has a reset count or a
/// counter that the TPM has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootBinding {
    /// The TPM's clock when the checkpoint was made.
    pub clock: TpmClock,
    /// An NV counter of the TPM that every boot increments.
    pub nv_counter: u64,
}

impl BootBinding {
    pub(super) const CLOCK: &str = "tpm-clock ";
    pub(super) const COUNTER: &str = "nv-counter ";

    /// Reads the two extension lines.
    pub(super) fn parse(
        clock: &str,
        counter: &str,
    ) -> (Result<TpmClock, Problem>, Result<u64, Problem>) {
        (parse_clock(clock), decimal(counter, "the NV counter"))
    }
}

fn parse_clock(text: &str) -> Result<TpmClock, Problem> {
    let fields: Vec<&str> = text.split(' ').collect();
    let [clock_ms, reset_count, restart_count, safe] = fields[..] else {
        return Err(Problem::Extension);
    };
    Ok(TpmClock {
        clock_ms: decimal(clock_ms, "the TPM's clock")?,
        reset_count: decimal(reset_count, "the reset count")?,
        restart_count: decimal(restart_count, "the restart count")?,
        is_safe: match safe {
            "safe" => true,
            "unsafe" => false,
            _ => return Err(Problem::Extension),
        },
    })
}

impl fmt::Display for BootBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TpmClock { clock_ms, reset_count, restart_count, is_safe } = self.clock;
        let safe = if is_safe { "safe" } else { "unsafe" };
        writeln!(f, "{}{clock_ms} {reset_count} {restart_count} {safe}", Self::CLOCK)?;
        writeln!(f, "{}{}", Self::COUNTER, self.nv_counter)
    }
}
