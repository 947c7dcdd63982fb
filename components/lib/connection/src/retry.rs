//! When to try again: full jitter between one second and a ceiling that grows.
//!
//! Full jitter (a uniform draw below the ceiling) keeps a fleet that lost its server at one moment
//! from coming back at one moment.

use std::time::Duration;

/// The shortest wait between two attempts.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time a server's `Retry-After` is obeyed for.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A source of uniform draws from 0.0 (included) to 1.0 (excluded).
pub trait Jitter {
    /// The next draw.
    fn draw(&mut self) -> f64;
}

impl<F: FnMut() -> f64> Jitter for F {
    fn draw(&mut self) -> f64 {
        self()
    }
}

/// Draws from the operating system's random number generator.
#[derive(Debug, Default)]
pub struct SystemJitter;

impl Jitter for SystemJitter {
    fn draw(&mut self) -> f64 {
        use ring::rand::SecureRandom as _;
        let mut bytes = [0u8; 4];
        // Without randomness the middle of the interval is as good a guess as any.
        match ring::rand::SystemRandom::new().fill(&mut bytes) {
            Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
            Err(_) => 0.5,
        }
    }
}

/// A ceiling that stays at `first` for some failures, then doubles up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Curve {
    first: Duration,
    longest: Duration,
    /// Failures before the ceiling begins to double, at least one.
    patient: u32,
}

impl Curve {
    /// The server said no: its operator must act, so waits grow to hours.
    pub const REFUSAL: Self =
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(6 * 3600), patient: 1 };
    /// The network is not there yet: during a boot it comes within seconds, later a cable may be
    /// plugged in at any moment.
    pub const NETWORK: Self =
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60), patient: 15 };
    /// The network is away from a device that is already active and needs nothing urgently.
    pub const OFFLINE: Self = Self { longest: Duration::from_secs(15 * 60), ..Self::NETWORK };
    /// Something on the device itself: the site configuration or the TPM.
    pub const LOCAL: Self =
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(5 * 60), patient: 1 };

    /// The highest wait before the attempt that follows `failures` failures in a row.
    pub fn ceiling(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(self.patient).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// The wait before the attempt that follows `failures` failures in a row.
    ///
    /// A server's `Retry-After` is a lower bound; up to a tenth is added to it.
    pub fn wait(
        self,
        failures: u32,
        retry_after: Option<Duration>,
        jitter: &mut dyn Jitter,
    ) -> Duration {
        let draw = jitter.draw().clamp(0.0, 1.0);
        let drawn = self.ceiling(failures).mul_f64(draw).max(SHORTEST);
        match retry_after {
            Some(asked) => {
                let asked = asked.min(LONGEST_RETRY_AFTER);
                drawn.max(asked + asked.mul_f64(draw / 10.0))
            }
            None => drawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ceilings_double_up_to_the_longest() {
        let table = [
            (Curve::REFUSAL, 0, 1),
            (Curve::REFUSAL, 1, 1),
            (Curve::REFUSAL, 2, 2),
            (Curve::REFUSAL, 5, 16),
            (Curve::REFUSAL, 15, 16384),
            (Curve::REFUSAL, 16, 6 * 3600),
            (Curve::REFUSAL, u32::MAX, 6 * 3600),
            (Curve::NETWORK, 15, 1),
            (Curve::NETWORK, 20, 32),
            (Curve::NETWORK, 21, 60),
            (Curve::NETWORK, u32::MAX, 60),
            (Curve::OFFLINE, u32::MAX, 900),
        ];
        for (curve, failures, seconds) in table {
            assert_eq!(curve.ceiling(failures), secs(seconds), "{curve:?} {failures}");
        }
    }

    #[test]
    fn waits_are_drawn_below_the_ceiling_and_obey_retry_after() {
        let table = [
            (5, None, 0.0, secs(1)),
            (5, None, 0.5, secs(8)),
            (5, Some(secs(30)), 0.0, secs(30)),
            (5, Some(secs(30)), 0.5, Duration::from_millis(31_500)),
            (12, Some(secs(30)), 0.5, secs(1024)),
            (1, Some(secs(10_000_000)), 0.0, LONGEST_RETRY_AFTER),
        ];
        for (failures, retry_after, draw, expected) in table {
            let wait = Curve::REFUSAL.wait(failures, retry_after, &mut || draw);
            assert_eq!(wait, expected, "{failures} {retry_after:?} {draw}");
        }
    }

    #[test]
    fn the_system_draws_differ_and_stay_in_range() {
        let mut source = SystemJitter;
        let draws: Vec<f64> = (0..64).map(|_| source.draw()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        assert!(draws.windows(2).any(|pair| pair[0].to_bits() != pair[1].to_bits()));
    }
}
