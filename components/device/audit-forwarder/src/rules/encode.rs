//! A rule as the kernel takes it: `struct audit_rule_data` (include/uapi/linux/audit.h).

use super::{List, Rule, Value};

const MASK_WORDS: usize = 64;
const MAX_FIELDS: usize = 64;
/// Bytes before the texts.
pub const RULE_HEADER_LEN: usize = 4 * (3 + MASK_WORDS + 3 * MAX_FIELDS + 1);

impl List {
    /// `AUDIT_FILTER_*`, with `AUDIT_FILTER_PREPEND` where the rule goes before the others.
    fn flags(self, is_first: bool) -> u32 {
        let list = match self {
            Self::User => 0,
            Self::Exit => 4,
            Self::Exclude => 5,
        };
        if is_first { list | 0x10 } else { list }
    }
}

impl Rule {
    /// The payload of `AUDIT_ADD_RULE`.
    pub fn encode(&self) -> Vec<u8> {
        let (mut fields, mut values, mut operators) =
            ([0u32; MAX_FIELDS], [0u32; MAX_FIELDS], [0u32; MAX_FIELDS]);
        let mut texts: Vec<u8> = Vec::new();
        for (index, (field, operator, value)) in self.fields.iter().take(MAX_FIELDS).enumerate() {
            fields[index] = field.number();
            operators[index] = operator.number();
            values[index] = match value {
                Value::Number(number) => *number,
                Value::Text(text) => {
                    texts.extend(text.as_bytes());
                    // Paths and keys are shorter than 5 KiB.
                    u32::try_from(text.len()).unwrap_or_default()
                }
            };
        }
        let mask = match &self.syscalls {
            Some(syscalls) => {
                let mut mask = [0u32; MASK_WORDS];
                for number in syscalls {
                    mask[*number as usize / 32] |= 1 << (number % 32);
                }
                mask
            }
            // All: for lists without system calls as well.
            None => [u32::MAX; MASK_WORDS],
        };
        // AUDIT_NEVER is 0, AUDIT_ALWAYS 2.
        let action = if self.is_recorded { 2 } else { 0 };
        let lengths =
            [self.fields.len(), texts.len()].map(|l| u32::try_from(l).unwrap_or_default());
        let head = [self.list.flags(self.is_first), action, lengths[0]];
        let words = head.into_iter().chain(mask).chain(fields).chain(values).chain(operators);
        let mut bytes: Vec<u8> = words.chain([lengths[1]]).flat_map(u32::to_ne_bytes).collect();
        bytes.extend(texts);
        bytes
    }
}
