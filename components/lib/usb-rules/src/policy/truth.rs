//! Truth that may not be known.

/// Whether a condition holds. It is unknown while the clock is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    /// It does not hold.
    False,
    /// Nobody can say.
    Unknown,
    /// It holds.
    True,
}

impl Truth {
    pub(super) const fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }

    /// True if all are true, false if one is false.
    pub(super) fn all(truths: impl Iterator<Item = Self>) -> Self {
        truths.min().unwrap_or(Self::True)
    }

    /// True if one is true, false if all are false.
    pub(super) fn any(truths: impl Iterator<Item = Self>) -> Self {
        truths.max().unwrap_or(Self::False)
    }
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

impl core::fmt::Display for Truth {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::False => "false",
            Self::Unknown => "unknown",
            Self::True => "true",
        })
    }
}
