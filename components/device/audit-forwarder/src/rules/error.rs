//! What can be wrong with a file of rules.

/// A line that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RuleError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An option that is not known here.
    #[error(
        "option \"{0}\" is not known: expected -a, -A, -w, -S, -F, -p, -k, -b, -f, -e, --backlog_wait_time or --loginuid-immutable"
    )]
    Option(String),
    /// An option without its value.
    #[error("{0} needs a value")]
    Value(String),
    /// Not a number of the option's range.
    #[error("{option} {text}: expected a number from {from} to {to}")]
    Number {
        /// The option or field.
        option: String,
        /// What stands there.
        text: String,
        /// Smallest.
        from: u32,
        /// Largest.
        to: u32,
    },
    /// Not a list and an action.
    #[error(
        "\"{0}\" is not list and action: expected exit, user or exclude, and always or never, as in always,exit"
    )]
    Target(String),
    /// Not a system call of the rule's architecture.
    #[error("\"{name}\" is not a system call of {arch}")]
    Syscall {
        /// What stands there.
        name: String,
        /// The architecture.
        arch: &'static str,
    },
    /// System calls without the architecture that numbers them.
    #[error("-S needs -F arch=b64 or arch=b32 before it: numbers differ between them")]
    Arch,
    /// Not field, operator and value.
    #[error("\"{0}\" is not field, operator and value, as in auid>=1000")]
    Comparison(String),
    /// A field that is not known here.
    #[error("field \"{0}\" is not known")]
    Field(String),
    /// An operator that the kernel does not take for this field.
    #[error("{field} cannot be compared with {operator}")]
    Operator {
        /// The field.
        field: &'static str,
        /// The operator.
        operator: &'static str,
    },
    /// A value that the field cannot have.
    #[error("{field}: {problem}")]
    FieldValue {
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Contradiction(&'static str),
    /// More than the kernel takes.
    #[error("more than {0} fields")]
    TooManyFields(usize),
}

impl Problem {
    pub(super) fn on(self, line: usize) -> RuleError {
        RuleError { line, problem: self }
    }
}
