//! Token buckets per key, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Afterwards, per minute.
    pub per_minute: u32,
}

/// One bucket per key.
pub struct TokenBuckets<K> {
    rate: Rate,
    capacity: usize,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: OffsetDateTime,
}

/// Too many; come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Seconds until the next one is let through.
    pub retry_after: u32,
}

impl<K: Eq + Hash> TokenBuckets<K> {
    /// Buckets for `capacity` keys at most.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, capacity, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes a token.
    pub fn take(&self, key: K, now: OffsetDateTime) -> Result<(), TooMany> {
        let per_second = f64::from(self.rate.per_minute) / 60.0;
        let burst = f64::from(self.rate.burst);
        let filled = |bucket: &Bucket| {
            let elapsed = (now - bucket.at).as_seconds_f64().max(0.0);
            (bucket.tokens + elapsed * per_second).min(burst)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= self.capacity && !buckets.contains_key(&key) {
            // A full bucket says nothing that a missing one would not say.
            buckets.retain(|_, bucket| filled(bucket) < burst);
            if buckets.len() >= self.capacity {
                // Under a flood of sources nobody is told apart: better to let them in than to
                // shut out the fleet.
                buckets.clear();
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: burst, at: now });
        bucket.tokens = filled(bucket);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 60
        let retry_after = ((1.0 - bucket.tokens) / per_second).ceil() as u32;
        Err(TooMany { retry_after: retry_after.max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    const RATE: Rate = Rate { burst: 3, per_minute: 6 };

    #[test]
    fn a_burst_then_a_trickle() {
        let buckets = TokenBuckets::new(RATE, 10);
        let now = from_unix(1000);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", now), Ok(()));
        }
        assert_eq!(buckets.take("a", now), Err(TooMany { retry_after: 10 }));
        assert_eq!(buckets.take("b", now), Ok(()));
        assert_eq!(buckets.take("a", from_unix(1009)), Err(TooMany { retry_after: 1 }));
        assert_eq!(buckets.take("a", from_unix(1010)), Ok(()));
        assert!(buckets.take("a", from_unix(1010)).is_err());
    }

    #[test]
    fn memory_is_bounded_and_a_clock_that_goes_back_gives_nothing() {
        let buckets = TokenBuckets::new(RATE, 4);
        for source in 0..1000 {
            assert_eq!(buckets.take(source, from_unix(1000)), Ok(()));
            assert!(buckets.buckets.lock().unwrap().len() <= 4);
        }
        let buckets = TokenBuckets::new(RATE, 4);
        for _ in 0..3 {
            buckets.take(1, from_unix(1000)).unwrap();
        }
        assert!(buckets.take(1, from_unix(10)).is_err());
    }
}
