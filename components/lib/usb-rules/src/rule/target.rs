//! What a rule does with a device.

use core::fmt;

/// The first word of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Authorise the device.
    Allow,
    /// Leave the device there, unauthorised.
    Block,
    /// Take the device away, as if it were pulled out.
    Reject,
    /// Nothing: the rule is a query for devices.
    Match,
    /// Nothing: the rule describes one device.
    Device,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 5] = [Self::Allow, Self::Block, Self::Reject, Self::Match, Self::Device];

    /// The word in a rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Reject => "reject",
            Self::Match => "match",
            Self::Device => "device",
        }
    }

    pub(crate) fn from_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name().as_bytes() == word)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is done with a device: one of the three targets of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Authorise the device.
    Allow,
    /// Leave the device there, unauthorised.
    Block,
    /// Take the device away, as if it were pulled out.
    Reject,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Block, Self::Reject];

    /// The word in a rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Reject => "reject",
        }
    }

    /// The verdict of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }

    /// The verdict of a rule with this target; none if it is of a query.
    pub const fn of(target: Target) -> Option<Self> {
        match target {
            Target::Allow => Some(Self::Allow),
            Target::Block => Some(Self::Block),
            Target::Reject => Some(Self::Reject),
            Target::Match | Target::Device => None,
        }
    }
}

impl From<Verdict> for Target {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Block => Self::Block,
            Verdict::Reject => Self::Reject,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
