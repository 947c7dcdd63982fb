use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::nbd::CutReport;
use crate::{Error, Result, Rng};

/// When the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutMoment {
    /// This long after power-on.
    Elapsed(Duration),
    /// Once the guest has made this many writes to its disk since power-on.
    Writes(u64),
}

/// A power cut that can be repeated: the moment and what is lost follow from the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerCutPlan {
    seed: u64,
    moment: CutMoment,
}

/// Set to a decimal or 0x number, this gives every plan that seed.
const SEED_VARIABLE: &str = "HOLDFAST_POWER_SEED";

impl PowerCutPlan {
    /// A cut at a random time after power-on within `range`.
    pub fn within_time(range: Range<Duration>, seed: u64) -> Self {
        let span = range.end.saturating_sub(range.start).as_millis();
        let offset = Rng::new(seed).below(u64::try_from(span).unwrap_or(u64::MAX));
        Self { seed, moment: CutMoment::Elapsed(range.start + Duration::from_millis(offset)) }
    }

    /// A cut after a random number of the guest's writes within `range`. Unlike a time, this does
    /// not depend on how busy the machine is.
    pub fn within_writes(range: Range<u64>, seed: u64) -> Self {
        let offset = Rng::new(seed).below(range.end.saturating_sub(range.start));
        Self { seed, moment: CutMoment::Writes(range.start + offset) }
    }

    /// A cut at this moment.
    pub fn at(moment: CutMoment, seed: u64) -> Self {
        Self { seed, moment }
    }

    /// The seed in the variable `HOLDFAST_POWER_SEED`, else a fresh one.
    pub fn seed() -> Result<u64> {
        let Some(text) = std::env::var_os(SEED_VARIABLE) else { return Ok(Rng::fresh_seed()) };
        let text = text.to_string_lossy();
        parse_seed(&text)
            .ok_or_else(|| Error::Description(format!("{SEED_VARIABLE}={text} is not a number")))
    }

    /// When the power fails.
    pub fn moment(&self) -> CutMoment {
        self.moment
    }

    /// The generator that decides what is lost.
    pub fn rng(&self) -> Rng {
        Rng::new(!self.seed)
    }
}

fn parse_seed(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl fmt::Display for PowerCutPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.moment {
            CutMoment::Elapsed(time) => write!(f, "power cut after {:.3} s", time.as_secs_f64())?,
            CutMoment::Writes(writes) => write!(f, "power cut after {writes} writes")?,
        }
        write!(f, " ({SEED_VARIABLE}={:#x})", self.seed)
    }
}

/// A power cut that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerCutReport {
    /// Since power-on.
    pub elapsed: Duration,
    /// Writes that the guest had made since power-on.
    pub writes: u64,
    /// What became of the writes since the last flush.
    pub disk: CutReport,
}

impl fmt::Display for PowerCutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { elapsed, writes, disk } = self;
        write!(f, "power cut at {:.3} s, after {writes} writes; {disk}", elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CutMoment, PowerCutPlan, parse_seed};

    #[test]
    fn a_seed_gives_the_same_plan_again() {
        let range = Duration::from_secs(5)..Duration::from_secs(50);
        let plans: Vec<PowerCutPlan> =
            (0..50).map(|seed| PowerCutPlan::within_time(range.clone(), seed)).collect();
        for (seed, plan) in (0..).zip(&plans) {
            assert_eq!(*plan, PowerCutPlan::within_time(range.clone(), seed));
            let CutMoment::Elapsed(at) = plan.moment() else { panic!("{plan}") };
            assert!(range.contains(&at), "{plan}");
        }
        assert!(plans.windows(2).any(|pair| pair[0].moment() != pair[1].moment()));
    }

    #[test]
    fn the_printed_seed_can_be_given_back() {
        let plan = PowerCutPlan::within_writes(10..20, 0xABC);
        assert!(plan.to_string().ends_with("(HOLDFAST_POWER_SEED=0xabc)"), "{plan}");
        assert_eq!(parse_seed("0xabc"), Some(0xABC));
        assert_eq!(parse_seed("12"), Some(12));
        assert_eq!(parse_seed("twelve"), None);
    }
}
