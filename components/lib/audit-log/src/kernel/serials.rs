//! Which serial numbers came, and which did not.

use std::collections::VecDeque;

use crate::{Loss, LossCause};

/// Most ranges that are waited for; with more, the oldest is lost at once.
const MAX_RANGES: usize = 256;

/// The kernel numbers its events one by one, but processors deliver them a little out of order: a
/// number that is passed over is lost only if it does not come in time.
#[derive(Clone, Debug, Default)]
pub(super) struct Serials {
    highest: Option<u32>,
    missing: VecDeque<Missing>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    first: u32,
    /// At least 1.
    count: u32,
    since: u64,
}

impl Missing {
    /// How far behind the first a number is.
    fn offset_of(&self, serial: u32) -> Option<u32> {
        Some(serial.wrapping_sub(self.first)).filter(|offset| *offset < self.count)
    }

    fn loss(self) -> Loss {
        Loss {
            first_serial: Some(self.first),
            last_serial: Some(self.first.wrapping_add(self.count - 1)),
            ..Loss::new(LossCause::SerialGap, u64::from(self.count))
        }
    }
}

impl Serials {
    /// Begins after a number that was seen before.
    pub(super) fn after(serial: u32) -> Self {
        Self { highest: Some(serial), missing: VecDeque::new() }
    }

    /// The newest number.
    pub(super) fn highest(&self) -> Option<u32> {
        self.highest
    }

    /// Takes note of a number; true if it was waited for.
    pub(super) fn see(&mut self, serial: u32, now: u64) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(serial);
            return true;
        };
        // Ahead is what lies within half of the numbers, as in RFC 1982.
        let ahead = serial.wrapping_sub(highest);
        if ahead == 0 || ahead > u32::MAX / 2 {
            return self.fill(serial);
        }
        if ahead > 1 {
            let first = highest.wrapping_add(1);
            self.missing.push_back(Missing { first, count: ahead - 1, since: now });
        }
        self.highest = Some(serial);
        true
    }

    fn fill(&mut self, serial: u32) -> bool {
        let found = self.missing.iter().enumerate().rev();
        let mut found = found.filter_map(|(place, range)| Some((place, range.offset_of(serial)?)));
        let Some((place, offset)) = found.next() else { return false };
        let Some(range) = self.missing.remove(place) else { return false };
        let after = range.count - 1 - offset;
        if after > 0 {
            self.missing.insert(
                place,
                Missing { first: serial.wrapping_add(1), count: after, since: range.since },
            );
        }
        if offset > 0 {
            self.missing.insert(place, Missing { count: offset, ..range });
        }
        true
    }

    /// Takes out a range that was waited for since `time`, or that is one too many.
    pub(super) fn lost_since(&mut self, time: u64) -> Option<Loss> {
        let oldest = self.missing.front()?;
        if oldest.since > time && self.missing.len() <= MAX_RANGES {
            return None;
        }
        self.missing.pop_front().map(Missing::loss)
    }

    /// The first number of the oldest range that is waited for.
    pub(super) fn first_missing(&self) -> Option<u32> {
        self.missing.front().map(|range| range.first)
    }

    /// Since when the oldest range is waited for.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        self.missing.front().map(|range| range.since)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn lost(serials: &mut Serials) -> Vec<(u32, u32, u64)> {
        std::iter::from_fn(|| serials.lost_since(u64::MAX))
            .map(|loss| (loss.first_serial.unwrap(), loss.last_serial.unwrap(), loss.count))
            .collect()
    }

    #[test]
    fn gaps() {
        /// Numbers that come, and the ranges that are lost.
        type Case = (&'static [u32], &'static [(u32, u32, u64)]);
        const MAX: u32 = u32::MAX;
        let table: &[Case] = &[
            (&[7, 8, 9], &[]),
            (&[7, 9, 8, 10], &[]),
            (&[7, 10], &[(8, 9, 2)]),
            (&[7, 12, 9], &[(8, 8, 1), (10, 11, 2)]),
            (&[7, 12, 11, 8], &[(9, 10, 2)]),
            (&[MAX - 1, MAX, 0, 1], &[]),
            (&[MAX - 1, 1], &[(MAX, 0, 2)]),
            (&[MAX, 2, 0], &[(1, 1, 1)]),
            (&[5, 3, 6], &[]),
        ];
        for (come, expected) in table {
            let mut serials = Serials::default();
            come.iter().for_each(|serial| {
                serials.see(*serial, 0);
            });
            assert_eq!(lost(&mut serials), *expected, "{come:?}");
        }
    }

    #[test]
    fn a_gap_is_waited_for() {
        let mut serials = Serials::after(1);
        assert!(serials.see(3, 100));
        assert_eq!(serials.waiting_since(), Some(100));
        assert_eq!(serials.lost_since(99), None);
        assert!(serials.lost_since(100).is_some());
        assert!(!serials.see(2, 101), "it was told as lost");
        assert!(!serials.see(3, 101), "it was there already");
    }

    #[test]
    fn the_oldest_of_too_many_gaps_is_lost_at_once() {
        let mut serials = Serials::after(0);
        (1..=300).for_each(|n| assert!(serials.see(2 * n, 1000)));
        let at_once = std::iter::from_fn(|| serials.lost_since(0)).count();
        assert_eq!((at_once, serials.missing.len()), (300 - MAX_RANGES, MAX_RANGES));
    }

    proptest! {
        #[test]
        fn what_came_and_what_is_lost_is_everything(
            start in prop_oneof![Just(0), Just(u32::MAX - 20), any::<u32>()],
            steps in prop::collection::vec(0..40u32, 1..60),
        ) {
            let mut serials = Serials::after(start);
            let came: BTreeSet<u32> = steps.iter().map(|step| step + 1).collect();
            for step in &steps {
                serials.see(start.wrapping_add(step + 1), 0);
            }
            let last = *came.last().unwrap();
            let lost: Vec<u32> = lost(&mut serials)
                .into_iter()
                .flat_map(|(first, _, count)| {
                    let first = first.wrapping_sub(start);
                    first..first + u32::try_from(count).unwrap()
                })
                .collect();
            let expected: Vec<u32> = (1..=last).filter(|n| !came.contains(n)).collect();
            prop_assert_eq!(lost, expected);
        }
    }
}
