//! The fields of messages: `name=value`, by the conventions of the kernel's `audit_log_format` and
//! `audit_log_untrustedstring` (`kernel/audit.c`) and of libaudit's user messages.

use std::borrow::Cow;

use super::{KernelEvent, Message, MessageType};

/// Fields that are written as `"text"`, or in hexadecimal without quotes where the text holds a
/// space, a quote or a character that is not printable ASCII.
const TEXTS: &[&[u8]] = &[
    b"acct",
    b"cmd",
    b"comm",
    b"cwd",
    b"data",
    b"device",
    b"dir",
    b"exe",
    b"file",
    b"grp",
    b"invalid_context",
    b"key",
    b"name",
    b"new-chardev",
    b"new-disk",
    b"new-fs",
    b"new-rng",
    b"ocomm",
    b"old-chardev",
    b"old-disk",
    b"old-fs",
    b"old-rng",
    b"path",
    b"proctitle",
    b"root_dir",
    b"sw",
    b"vm",
    b"watch",
];

/// Separates the keys of several rules that one system call matched (`AUDIT_KEY_SEPARATOR`).
const KEY_SEPARATOR: u8 = 1;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, as `auid`.
    pub name: &'a [u8],
    /// What follows the equals sign, without quotes.
    pub raw: &'a [u8],
    quote: Option<u8>,
    is_text: bool,
}

impl<'a> Field<'a> {
    /// The value, from hexadecimal where it is written so.
    pub fn value(&self) -> Cow<'a, [u8]> {
        if self.quote.is_some() || !self.is_text || self.raw.is_empty() {
            return Cow::Borrowed(self.raw);
        }
        hex::decode(self.raw).map_or(Cow::Borrowed(self.raw), Cow::Owned)
    }

    /// The value, if it stands for one: not `?`, `(null)`, `(none)`, nor the id that means none.
    pub fn known(&self) -> Option<Cow<'a, [u8]>> {
        let is_unset = match self.raw {
            b"?" | b"(null)" | b"(none)" => true,
            b"4294967295" | b"-1" | b"unset" => self.is_id(),
            _ => false,
        };
        (self.quote.is_some() || !is_unset).then(|| self.value())
    }

    /// The fields in a value that is quoted with `'`, as `msg` of a user message.
    pub fn nested(&self) -> Option<Fields<'a>> {
        (self.quote == Some(b'\'')).then_some(Fields { kind: MessageType(0), rest: self.raw })
    }

    fn is_id(&self) -> bool {
        matches!(self.name, b"ses" | b"old-ses" | b"new-ses") || self.name.ends_with(b"id")
    }

    fn number(&self) -> Option<u32> {
        str::from_utf8(self.raw).ok()?.parse().ok()
    }
}

/// Fields of a text in order; words without an equals sign are passed over.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    kind: MessageType,
    rest: &'a [u8],
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b',' | b'\n' | 0)
}

impl<'a> Fields<'a> {
    fn name(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.rest.iter().position(|b| !is_separator(*b))?;
            let word = self.rest.get(start..)?;
            let end = word.iter().position(|b| *b == b'=' || is_separator(*b))?;
            let (name, rest) = word.split_at(end);
            match rest.split_first()? {
                (b'=', rest) => {
                    self.rest = rest;
                    return Some(name);
                }
                _ => self.rest = rest,
            }
        }
    }

    fn value(&mut self) -> (&'a [u8], Option<u8>) {
        let text = self.rest;
        let quote = text.first().copied().filter(|b| matches!(b, b'"' | b'\''));
        let inner = quote.and_then(|quote| {
            let text = text.get(1..)?;
            // What a process put between single quotes may hold more of them.
            let end = match quote {
                b'\'' => text.iter().rposition(|b| *b == quote),
                _ => text.iter().position(|b| *b == quote),
            };
            text.split_at_checked(end?)
        });
        if let Some((value, rest)) = inner {
            self.rest = rest.get(1..).unwrap_or_default();
            return (value, quote);
        }
        let end = text.iter().position(|b| matches!(b, b' ' | b'\n' | 0)).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        self.rest = rest;
        (value, None)
    }

    fn is_text(&self, name: &[u8]) -> bool {
        let is_argument = self.kind == MessageType::EXECVE && argument(name).is_some();
        is_argument || TEXTS.contains(&name)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let name = self.name()?;
        let (raw, quote) = self.value();
        Some(Field { name, raw, quote, is_text: self.is_text(name) })
    }
}

/// Number of the argument and of its part: `a2` and `a2[1]`, but not `a2_len`.
fn argument(name: &[u8]) -> Option<(usize, usize)> {
    let name = str::from_utf8(name.strip_prefix(b"a")?).ok()?;
    match name.split_once('[') {
        None => Some((name.parse().ok()?, 0)),
        Some((number, part)) => Some((number.parse().ok()?, part.strip_suffix(']')?.parse().ok()?)),
    }
}

impl<'a> Message<'a> {
    /// The fields in order.
    pub fn fields(&self) -> Fields<'a> {
        Fields { kind: self.kind, rest: self.text }
    }
}

impl<'a> KernelEvent<'a> {
    /// The first field of a name that says something. What the kernel wrote comes before what a
    /// process wrote between single quotes, in whatever order they stand.
    pub fn field(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let is_it = |field: &Field<'_>| field.name == name.as_bytes();
        let outer = || self.messages().flat_map(|message| message.fields());
        outer().filter(is_it).find_map(|field| field.known()).or_else(|| {
            let nested = outer().filter_map(|field| field.nested()).flatten();
            nested.filter(is_it).find_map(|field| field.known())
        })
    }

    /// User id of the login that the process descends from; survives su and sudo.
    pub fn login_uid(&self) -> Option<u32> {
        self.id_field(b"auid")
    }

    /// User id of the process.
    pub fn uid(&self) -> Option<u32> {
        self.id_field(b"uid")
    }

    /// Process id.
    pub fn pid(&self) -> Option<u32> {
        self.id_field(b"pid")
    }

    /// Number of the login session.
    pub fn session(&self) -> Option<u32> {
        self.id_field(b"ses")
    }

    /// Path of the program.
    pub fn exe(&self) -> Option<Cow<'a, [u8]>> {
        self.field("exe")
    }

    /// Key of the first rule that the system call matched.
    pub fn key(&self) -> Option<Vec<u8>> {
        self.keys().into_iter().next()
    }

    /// Keys of all rules that the system call matched.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let is_call =
            |m: &Message<'_>| matches!(m.kind, MessageType::SYSCALL | MessageType::URINGOP);
        let fields = self.messages().filter(is_call).flat_map(|message| message.fields());
        let values = fields.filter(|field| field.name == b"key").filter_map(|field| field.known());
        values
            .flat_map(|value| {
                value.split(|b| *b == KEY_SEPARATOR).map(<[u8]>::to_vec).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Arguments of an execve, the program's name among them. The kernel cuts long ones into parts,
    /// which are put together here.
    pub fn arguments(&self) -> Vec<Vec<u8>> {
        let mut arguments: Vec<Vec<u8>> = Vec::new();
        let messages = self.messages().filter(|message| message.kind == MessageType::EXECVE);
        for field in messages.flat_map(|message| message.fields()) {
            match (argument(field.name), arguments.last_mut()) {
                (Some((_, part)), Some(last)) if part > 0 => last.extend_from_slice(&field.value()),
                (Some(_), _) => arguments.push(field.value().into_owned()),
                (None, _) => {}
            }
        }
        arguments
    }

    /// A number that the kernel wrote; never one that a process wrote.
    fn id_field(&self, name: &[u8]) -> Option<u32> {
        let fields = self.messages().flat_map(|message| message.fields());
        let mut numbers =
            fields.filter(|field| field.name == name).filter_map(|field| field.number());
        numbers.next().filter(|number| *number != u32::MAX)
    }
}
