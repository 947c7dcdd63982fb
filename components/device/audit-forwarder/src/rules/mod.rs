//! Rules of the kernel's audit, in the language of auditctl(8), and what they may cost.
//!
//! ```text
//! file    = line*
//! line    = "-b" N | "-f" 0|1|2 | "--backlog_wait_time" N | "-e" 0|1|2 | "--loginuid-immutable" | rule
//! rule    = ("-a" | "-A") LIST,ACTION { "-S" NAME[,NAME]* } { "-F" FIELD OP VALUE } [ "-k" KEY ]
//!         | "-w" PATH [ "-p" PERMISSIONS ] [ "-k" KEY ]
//! ```

mod encode;
mod error;
mod field;
mod lint;
mod parse;

pub use encode::RULE_HEADER_LEN;
pub use error::{Problem, RuleError};
pub use field::{Field, Operator, Value};
pub use lint::{Estimate, Verdict, estimate};
pub use parse::parse;

/// A file of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Records that the kernel keeps at most, `-b`.
    pub backlog_limit: Option<u32>,
    /// How long the kernel lets a process wait for room in the backlog, `--backlog_wait_time`,
    /// jiffies.
    pub backlog_wait_time: Option<u32>,
    /// What the kernel does where it loses a record, `-f`: nothing, a message, a panic.
    pub failure: Option<u32>,
    /// `-e`: 0 off, 1 on, 2 on and closed to changes until the next boot.
    pub enabled: Option<u32>,
    /// `--loginuid-immutable`.
    pub login_uid_immutable: bool,
    /// In the order in which the kernel asks them.
    pub rules: Vec<Rule>,
}

/// Whose decision a rule is (`AUDIT_FILTER_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// At the end of a system call.
    Exit,
    /// Records of user space.
    User,
    /// Records to leave out.
    Exclude,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Line of the file, from 1.
    pub line: usize,
    /// Its list.
    pub list: List,
    /// Whether what it matches is recorded, as opposed to never.
    pub is_recorded: bool,
    /// Whether it is put before the others, `-A`.
    pub is_first: bool,
    /// Numbers of system calls; `None` for all.
    pub syscalls: Option<Vec<u32>>,
    /// Names of the same, for people.
    pub syscall_names: Vec<String>,
    /// All must match.
    pub fields: Vec<(Field, Operator, Value)>,
}

impl Rule {
    /// The key, `-k`.
    pub fn key(&self) -> Option<&str> {
        self.text_of(Field::FilterKey)
    }

    /// The text value of a field.
    pub fn text_of(&self, field: Field) -> Option<&str> {
        self.fields.iter().find_map(|(found, _, value)| match value {
            Value::Text(text) if *found == field => Some(text.as_str()),
            _ => None,
        })
    }

    /// The number that a field is compared with.
    pub fn number_of(&self, field: Field) -> Option<(Operator, u32)> {
        self.fields.iter().find_map(|(found, operator, value)| match value {
            Value::Number(number) if *found == field => Some((*operator, *number)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
