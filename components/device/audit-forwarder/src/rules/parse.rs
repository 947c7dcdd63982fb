//! Reading rules.

use std::str::FromStr;

use holdfast_audit_log::kernel::MessageType;

use super::field::Form;
use super::{Field, List, Operator, Problem, Rule, RuleError, Rules, Value};

/// Fields of a rule, at most (`AUDIT_MAX_FIELDS`).
const MAX_FIELDS: usize = 64;
/// Longest key (`AUDIT_MAX_KEY_LEN`), bytes.
const MAX_KEY: usize = 256;
/// Longest path, bytes.
const MAX_PATH: usize = 4096;
/// Fields of system calls of one rule are a mask of 64 words.
const MAX_SYSCALL: u32 = 64 * 32;

/// Reads a file of rules.
pub fn parse(text: &str) -> Result<Rules, RuleError> {
    let mut rules = Rules::default();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if rules.enabled == Some(2) {
            let late = Problem::Contradiction("nothing can follow -e 2: it closes the rules");
            return Err(late.on(number));
        }
        read_line(&mut rules, number, line).map_err(|problem| problem.on(number))?;
    }
    Ok(rules)
}

fn read_line(rules: &mut Rules, line: usize, text: &str) -> Result<(), Problem> {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let mut setting = |place: &mut Option<u32>, to| {
        let value = words.next().ok_or_else(|| Problem::Value(first.to_owned()))?;
        if let Some(more) = words.next() {
            return Err(Problem::Option(more.to_owned()));
        }
        *place = Some(number(first, value, 0, to)?);
        Ok(())
    };
    match first {
        "-b" => setting(&mut rules.backlog_limit, u32::MAX),
        "-f" => setting(&mut rules.failure, 2),
        "-e" => setting(&mut rules.enabled, 2),
        "--backlog_wait_time" => setting(&mut rules.backlog_wait_time, u32::MAX),
        "--loginuid-immutable" => {
            rules.login_uid_immutable = true;
            words.next().map_or(Ok(()), |more| Err(Problem::Option(more.to_owned())))
        }
        "-a" | "-A" | "-w" => {
            rules.rules.push(read_rule(line, text)?);
            Ok(())
        }
        other => Err(Problem::Option(other.to_owned())),
    }
}

/// What the options of a rule say.
#[derive(Default)]
struct Draft {
    target: Option<(List, bool, bool)>,
    watch: Option<String>,
    arch: Option<Arch>,
    syscalls: Option<Vec<u32>>,
    names: Vec<String>,
    fields: Vec<(Field, Operator, Value)>,
    key: Option<String>,
}

fn read_rule(line: usize, text: &str) -> Result<Rule, Problem> {
    let mut draft = Draft::default();
    let mut words = text.split_whitespace();
    while let Some(option) = words.next() {
        let mut value = || words.next().ok_or_else(|| Problem::Value(option.to_owned()));
        match option {
            "-a" | "-A" => draft.target = Some(target(value()?, option == "-A")?),
            "-w" => draft.watch = Some(path(Field::Watch, value()?)?),
            "-S" => draft.syscalls(value()?)?,
            "-F" => draft.comparison(value()?)?,
            "-p" => {
                let permissions = permissions(value()?)?;
                draft.fields.push((Field::Perm, Operator::Equal, Value::Number(permissions)));
            }
            "-k" => draft.key = Some(key(value()?)?),
            other => return Err(Problem::Option(other.to_owned())),
        }
    }
    draft.finish(line)
}

impl Draft {
    fn syscalls(&mut self, names: &str) -> Result<(), Problem> {
        let syscalls = self.syscalls.get_or_insert_default();
        for name in names.split(',') {
            if name == "all" {
                continue;
            }
            let arch = self.arch.ok_or(Problem::Arch)?;
            let unknown = || Problem::Syscall { name: name.to_owned(), arch: arch.name() };
            let number = arch.syscall(name).filter(|n| *n < MAX_SYSCALL).ok_or_else(unknown)?;
            syscalls.push(number);
            self.names.push(name.to_owned());
        }
        Ok(())
    }

    fn comparison(&mut self, text: &str) -> Result<(), Problem> {
        let (name, operator, value) =
            Operator::split(text).ok_or_else(|| Problem::Comparison(text.to_owned()))?;
        let (field, form) = Field::named(name).ok_or_else(|| Problem::Field(name.to_owned()))?;
        let only_equality = matches!(form, Form::Arch | Form::Path | Form::Key | Form::Permissions);
        if only_equality && !operator.is_equality() {
            return Err(Problem::Operator { field: field.name(), operator: operator.text() });
        }
        let value = match form {
            Form::Id if value == "unset" => Value::Number(u32::MAX),
            Form::Id | Form::Number => Value::Number(number(name, value, 0, u32::MAX)?),
            Form::SignedNumber => Value::Number(exit_code(value)?),
            Form::Arch => {
                let arch = Arch::named(value)?;
                self.arch = Some(arch);
                Value::Number(arch.audit_number())
            }
            Form::Path => Value::Text(path(field, value)?),
            Form::Permissions => Value::Number(permissions(value)?),
            Form::MessageType => match MessageType::from_name(value) {
                Some(kind) => Value::Number(kind.0.into()),
                None => Value::Number(number(name, value, 0, u32::from(u16::MAX))?),
            },
            Form::Key => {
                self.key = Some(key(value)?);
                return Ok(());
            }
        };
        self.fields.push((field, operator, value));
        Ok(())
    }

    fn finish(mut self, line: usize) -> Result<Rule, Problem> {
        let (list, is_recorded, is_first) = match (&self.watch, self.target) {
            (Some(_), Some(_)) => return Err(Problem::Contradiction("-w and -a are two rules")),
            (Some(_), None) if self.syscalls.is_some() => {
                return Err(Problem::Contradiction("-w takes no -S"));
            }
            (Some(_), None) => (List::Exit, true, false),
            (None, Some(target)) => target,
            (None, None) => return Err(Problem::Contradiction("a rule begins with -a, -A or -w")),
        };
        if let Some(watch) = self.watch {
            let is_folder = watch.ends_with('/') && watch.len() > 1;
            let (field, path) = if is_folder {
                (Field::Directory, watch.trim_end_matches('/').to_owned())
            } else {
                (Field::Watch, watch)
            };
            self.fields.insert(0, (field, Operator::Equal, Value::Text(path)));
            if !self.fields.iter().any(|(field, ..)| *field == Field::Perm) {
                self.fields.push((Field::Perm, Operator::Equal, Value::Number(ALL_PERMISSIONS)));
            }
        }
        if list != List::Exit && self.syscalls.is_some() {
            return Err(Problem::Contradiction("-S is for the list exit alone"));
        }
        if let Some(key) = self.key {
            self.fields.push((Field::FilterKey, Operator::Equal, Value::Text(key)));
        }
        if self.fields.len() > MAX_FIELDS {
            return Err(Problem::TooManyFields(MAX_FIELDS));
        }
        let syscalls = self.syscalls.filter(|syscalls| !syscalls.is_empty());
        let syscall_names = self.names;
        Ok(Rule { line, list, is_recorded, is_first, syscalls, syscall_names, fields: self.fields })
    }
}

fn target(text: &str, is_first: bool) -> Result<(List, bool, bool), Problem> {
    let wrong = || Problem::Target(text.to_owned());
    let (one, other) = text.split_once(',').ok_or_else(wrong)?;
    let action = |word| match word {
        "always" => Some(true),
        "never" => Some(false),
        _ => None,
    };
    let list = |word| match word {
        "exit" => Some(List::Exit),
        "user" => Some(List::User),
        "exclude" => Some(List::Exclude),
        _ => None,
    };
    let pair = list(one).zip(action(other)).or_else(|| list(other).zip(action(one)));
    pair.map(|(list, is_recorded)| (list, is_recorded, is_first)).ok_or_else(wrong)
}

/// An architecture, by which the kernel tells the numbers of system calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arch {
    B64,
    B32,
}

impl Arch {
    fn named(name: &str) -> Result<Self, Problem> {
        match name {
            "b64" => Ok(Self::B64),
            "b32" => Ok(Self::B32),
            other => Err(Problem::FieldValue {
                field: "arch",
                problem: format!("\"{other}\" is not an architecture: expected b64 or b32"),
            }),
        }
    }

    #[cfg(target_arch = "x86_64")]
    const NAMES: [(&str, u32); 2] = [("x86_64", 0xC000_003E), ("i386", 0x4000_0003)];
    #[cfg(target_arch = "aarch64")]
    const NAMES: [(&str, u32); 2] = [("aarch64", 0xC000_00B7), ("arm", 0x4000_0028)];

    const fn name(self) -> &'static str {
        match self {
            Self::B64 => Self::NAMES[0].0,
            Self::B32 => Self::NAMES[1].0,
        }
    }

    /// `AUDIT_ARCH_*`.
    const fn audit_number(self) -> u32 {
        match self {
            Self::B64 => Self::NAMES[0].1,
            Self::B32 => Self::NAMES[1].1,
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn syscall(self, name: &str) -> Option<u32> {
        let number = match self {
            Self::B64 => syscalls::x86_64::Sysno::from_str(name).ok()?.id(),
            Self::B32 => syscalls::x86::Sysno::from_str(name).ok()?.id(),
        };
        u32::try_from(number).ok()
    }

    #[cfg(target_arch = "aarch64")]
    fn syscall(self, name: &str) -> Option<u32> {
        let number = match self {
            Self::B64 => syscalls::aarch64::Sysno::from_str(name).ok()?.id(),
            Self::B32 => return None,
        };
        u32::try_from(number).ok()
    }
}

const ALL_PERMISSIONS: u32 = 15;

fn permissions(text: &str) -> Result<u32, Problem> {
    let mut mask = 0;
    for letter in text.chars() {
        // AUDIT_PERM_EXEC, _WRITE, _READ, _ATTR.
        mask |= match letter {
            'x' => 1,
            'w' => 2,
            'r' => 4,
            'a' => 8,
            other => {
                return Err(Problem::FieldValue {
                    field: "perm",
                    problem: format!("'{other}' is not one of r, w, x and a"),
                });
            }
        };
    }
    Ok(mask)
}

fn path(field: Field, text: &str) -> Result<String, Problem> {
    let wrong =
        |problem: &str| Problem::FieldValue { field: field.name(), problem: problem.into() };
    if !text.starts_with('/') {
        return Err(wrong("expected an absolute path"));
    }
    if text.len() >= MAX_PATH {
        return Err(wrong("the path is too long"));
    }
    Ok(text.to_owned())
}

fn key(text: &str) -> Result<String, Problem> {
    let is_good = (1..=MAX_KEY).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if is_good {
        return Ok(text.to_owned());
    }
    let problem = "expected letters, digits, '-' and '_', 256 at most".to_owned();
    Err(Problem::FieldValue { field: "key", problem })
}

fn exit_code(text: &str) -> Result<u32, Problem> {
    let named = match text {
        "-EACCES" => Some(-13),
        "-EPERM" => Some(-1),
        _ => None,
    };
    let code = named.or_else(|| text.parse::<i32>().ok());
    code.map(i32::cast_unsigned).ok_or_else(|| Problem::FieldValue {
        field: "exit",
        problem: format!("\"{text}\" is not a number, -EACCES or -EPERM"),
    })
}

fn number(option: &str, text: &str, from: u32, to: u32) -> Result<u32, Problem> {
    let parsed = match text.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    };
    parsed.filter(|number| (from..=to).contains(number)).ok_or_else(|| Problem::Number {
        option: option.to_owned(),
        text: text.to_owned(),
        from,
        to,
    })
}
