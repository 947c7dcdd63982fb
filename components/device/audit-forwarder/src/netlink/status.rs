//! `struct audit_status` and `struct audit_features`.

/// State of the kernel's audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// 0 off, 1 on, 2 closed to changes.
    pub enabled: u32,
    /// What a lost record does: 0 nothing, 1 a message, 2 a panic.
    pub failure: u32,
    /// Process that gets the events, 0 for none.
    pub pid: u32,
    /// Messages that may wait.
    pub backlog_limit: u32,
    /// Messages that were lost.
    pub lost: u32,
    /// Messages that wait.
    pub backlog: u32,
}

impl Status {
    /// Reads the payload of `AUDIT_GET`'s answer; kernels may append fields.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let word = |index: usize| {
            let bytes = payload.get(index * 4..index * 4 + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        Some(Self {
            enabled: word(1)?,
            failure: word(2)?,
            pid: word(3)?,
            backlog_limit: word(5)?,
            lost: word(6)?,
            backlog: word(7)?,
        })
    }
}

/// What `AUDIT_SET` can change: the bit of the mask and the place of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Enabled,
    Failure,
    Pid,
    BacklogLimit,
    BacklogWaitTime,
}

impl Setting {
    pub(super) fn encode(self, value: u32) -> Vec<u8> {
        let (mask, place) = match self {
            Self::Enabled => (0x01, 1),
            Self::Failure => (0x02, 2),
            Self::Pid => (0x04, 3),
            Self::BacklogLimit => (0x10, 5),
            Self::BacklogWaitTime => (0x20, 9),
        };
        let mut words = [0u32; 11];
        words[0] = mask;
        words[place] = value;
        words.into_iter().flat_map(u32::to_ne_bytes).collect()
    }
}

/// `AUDIT_FEATURE_LOGINUID_IMMUTABLE` set and locked.
pub(super) fn login_uid_immutable() -> Vec<u8> {
    const VERSION: u32 = 1;
    const BIT: u32 = 1 << 1;
    [VERSION, BIT, BIT, BIT].into_iter().flat_map(u32::to_ne_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_kernel() {
        let payload: Vec<u8> = (0..11u32).flat_map(u32::to_ne_bytes).collect();
        let status = Status::parse(&payload).unwrap();
        assert_eq!(
            status,
            Status { enabled: 1, failure: 2, pid: 3, backlog_limit: 5, lost: 6, backlog: 7 }
        );
        assert_eq!(Status::parse(&payload[..31]), None);
        let set = Setting::BacklogWaitTime.encode(7);
        assert_eq!((set.len(), set[0], set[36]), (44, 0x20, 7));
    }
}
