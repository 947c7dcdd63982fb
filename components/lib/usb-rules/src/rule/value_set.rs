//! The values of an attribute, and how they are compared with a device's.

use core::fmt;

use super::SetOperator;
use crate::value::Pattern;

/// One value or more, and an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueSet<T> {
    operator: SetOperator,
    values: Vec<T>,
}

impl<T> ValueSet<T> {
    /// A single value.
    pub fn one(value: T) -> Self {
        Self { operator: SetOperator::Equals, values: vec![value] }
    }

    /// Several values; none if `values` is empty, since the language has no empty set.
    pub fn new(operator: SetOperator, values: Vec<T>) -> Option<Self> {
        (!values.is_empty()).then_some(Self { operator, values })
    }

    /// The operator; [`SetOperator::Equals`] if none is written.
    pub const fn operator(&self) -> SetOperator {
        self.operator
    }

    /// The values in the order of the rule; never empty.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Whether the operator holds between these values and a device's.
    pub(crate) fn holds<V>(&self, found: &[V]) -> bool
    where
        T: Pattern<V>,
    {
        let wanted = &self.values;
        let is_found = |pattern: &T| found.iter().any(|value| pattern.covers(value));
        match self.operator {
            SetOperator::AllOf => wanted.iter().all(is_found),
            SetOperator::OneOf => wanted.iter().any(is_found),
            SetOperator::NoneOf => !wanted.iter().any(is_found),
            SetOperator::Equals => wanted.len() == found.len() && each_has_its_own(wanted, found),
            SetOperator::EqualsOrdered => {
                wanted.len() == found.len()
                    && wanted.iter().zip(found).all(|(pattern, value)| pattern.covers(value))
            }
            SetOperator::MatchAll => {
                found.iter().all(|value| wanted.iter().any(|pattern| pattern.covers(value)))
            }
        }
    }
}

/// Whether every pattern can be given a value of its own.
///
/// The patterns that cover least choose first. That is enough, no search is needed: what a
/// pattern covers is either apart from or within what a later one covers, so it does not matter
/// to the later ones which of its values it takes.
fn each_has_its_own<V, T: Pattern<V>>(wanted: &[T], found: &[V]) -> bool {
    let mut wanted: Vec<&T> = wanted.iter().collect();
    wanted.sort_by_key(|pattern| core::cmp::Reverse(pattern.specificity()));
    let mut left: Vec<&V> = found.iter().collect();
    wanted.into_iter().all(|pattern| {
        let own = left.iter().position(|value| pattern.covers(value));
        own.map(|index| left.swap_remove(index)).is_some()
    })
}

impl<T: fmt::Display> fmt::Display for ValueSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (SetOperator::Equals, [value]) = (self.operator, self.values.as_slice()) {
            return write!(f, "{value}");
        }
        if self.operator != SetOperator::Equals {
            write!(f, "{} ", self.operator)?;
        }
        f.write_str("{ ")?;
        self.values.iter().try_for_each(|value| write!(f, "{value} "))?;
        f.write_str("}")
    }
}
