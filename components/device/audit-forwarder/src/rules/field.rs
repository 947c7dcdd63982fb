//! Fields of a rule (include/uapi/linux/audit.h).

/// What a rule looks at; the numbers are the kernel's `AUDIT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Field {
    Pid = 0,
    Uid = 1,
    Euid = 2,
    Gid = 5,
    Egid = 6,
    LoginUid = 9,
    Arch = 11,
    MessageType = 12,
    SessionId = 25,
    Exit = 103,
    Success = 104,
    Watch = 105,
    Perm = 106,
    Directory = 107,
    FileType = 108,
    Exe = 112,
    A0 = 200,
    A1 = 201,
    A2 = 202,
    A3 = 203,
    FilterKey = 210,
}

/// What kind of value a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Id,
    Number,
    SignedNumber,
    Arch,
    Path,
    Key,
    Permissions,
    MessageType,
}

impl Field {
    const ALL: [(Self, &str, Form); 21] = [
        (Self::Pid, "pid", Form::Number),
        (Self::Uid, "uid", Form::Id),
        (Self::Euid, "euid", Form::Id),
        (Self::Gid, "gid", Form::Id),
        (Self::Egid, "egid", Form::Id),
        (Self::LoginUid, "auid", Form::Id),
        (Self::Arch, "arch", Form::Arch),
        (Self::MessageType, "msgtype", Form::MessageType),
        (Self::SessionId, "sessionid", Form::Id),
        (Self::Exit, "exit", Form::SignedNumber),
        (Self::Success, "success", Form::Number),
        (Self::Watch, "path", Form::Path),
        (Self::Perm, "perm", Form::Permissions),
        (Self::Directory, "dir", Form::Path),
        (Self::FileType, "filetype", Form::Number),
        (Self::Exe, "exe", Form::Path),
        (Self::A0, "a0", Form::Number),
        (Self::A1, "a1", Form::Number),
        (Self::A2, "a2", Form::Number),
        (Self::A3, "a3", Form::Number),
        (Self::FilterKey, "key", Form::Key),
    ];

    /// The kernel's number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The name in rules.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(field, ..)| *field == self).map_or("", |(_, name, _)| name)
    }

    pub(super) fn named(name: &str) -> Option<(Self, Form)> {
        Self::ALL
            .into_iter()
            .find(|(_, known, _)| *known == name)
            .map(|(field, _, form)| (field, form))
    }
}

/// How a field is compared; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Operator {
    Equal = 0x4000_0000,
    NotEqual = 0x3000_0000,
    Less = 0x1000_0000,
    LessOrEqual = 0x5000_0000,
    Greater = 0x2000_0000,
    GreaterOrEqual = 0x6000_0000,
    Mask = 0x0800_0000,
    Test = 0x4800_0000,
}

impl Operator {
    /// The longer ones first, so that `>=` is not read as `>`.
    const ALL: [(Self, &str); 8] = [
        (Self::NotEqual, "!="),
        (Self::LessOrEqual, "<="),
        (Self::GreaterOrEqual, ">="),
        (Self::Test, "&="),
        (Self::Equal, "="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
        (Self::Mask, "&"),
    ];

    /// The kernel's number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// As it is written.
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(operator, _)| *operator == self).map_or("", |(_, text)| text)
    }

    /// Whether it says no more than equal or not.
    pub const fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Takes a comparison apart: field, operator, value.
    pub(super) fn split(comparison: &str) -> Option<(&str, Self, &str)> {
        let start = comparison.find(['!', '<', '>', '&', '='])?;
        let (field, rest) = comparison.split_at(start);
        let (operator, value) = Self::ALL
            .into_iter()
            .find_map(|(operator, text)| Some((operator, rest.strip_prefix(text)?)))?;
        Some((field, operator, value)).filter(|_| !field.is_empty() && !value.is_empty())
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, as the kernel takes it.
    Number(u32),
    /// A path or key.
    Text(String),
}
