//! The port list: which ports are on.
//!
//! ```text
//! # One port or pattern a line; the last line that means a port counts.
//! used pci0000:00/0000:00:14.0/hs/1
//! used pci0000:00/0000:00:14.0/hs/2.*
//! internal pci0000:00/0000:00:14.0/hs/7
//! unused pci0000:00/0000:00:14.0/hs/2.4
//! ```
//!
//! A pattern is `*` (every port), a controller's place and `/*`, or a port and `.*` (the ports of
//! the hub that is plugged into it, and of hubs behind).

use super::PortName;

/// Most bytes of a port list.
pub const MAX_LIST_BYTES: usize = 256 * 1024;

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortUse {
    /// For nothing: it is off.
    Unused,
    /// For what the rules let in.
    Used,
    /// For a part of the box itself, which is let in also when no rules can be read.
    Internal,
}

impl PortUse {
    const ALL: [Self; 3] = [Self::Unused, Self::Used, Self::Internal];

    /// The word in the list.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Used => "used",
            Self::Internal => "internal",
        }
    }
}

/// A line of the list is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct ListError {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

/// The list; an empty one has every port off. Lines that are not meant by an edit stay byte for
/// byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortList {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: String,
    entry: Option<(PortUse, Pattern)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    One(PortName),
    /// Everything that starts so.
    Below(String),
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Below(String::new()));
        }
        if let Some(hub) = text.strip_suffix(".*") {
            return PortName::parse(hub).map(|hub| Self::Below(format!("{hub}.")));
        }
        if let Some(controller) = text.strip_suffix("/*") {
            let good = !controller.is_empty() && controller.bytes().all(|b| b.is_ascii_graphic());
            return (good && !controller.contains('*'))
                .then(|| Self::Below(format!("{controller}/")));
        }
        PortName::parse(text).map(Self::One)
    }

    fn covers(&self, port: &PortName) -> bool {
        match self {
            Self::One(name) => name == port,
            Self::Below(start) => port.as_str().starts_with(start),
        }
    }
}

impl PortList {
    /// Reads a list. One with an error has no ports at all.
    pub fn parse(bytes: &[u8]) -> Result<Self, ListError> {
        let text = core::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            ListError { line, column: 1, problem: "the line is not UTF-8".to_owned() }
        })?;
        let lines = text.lines().enumerate().map(|(index, text)| Line::parse(text, index + 1));
        Ok(Self { lines: lines.collect::<Result<_, _>>()? })
    }

    /// The list, to be written in place of the old one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let lines = self.lines.iter().map(|line| format!("{}\n", line.text));
        lines.collect::<String>().into_bytes()
    }

    /// What a port is for.
    pub fn of(&self, port: &PortName) -> PortUse {
        let entries = self.lines.iter().rev().filter_map(|line| line.entry.as_ref());
        let mut meant = entries.filter(|(_, pattern)| pattern.covers(port));
        meant.next().map_or(PortUse::Unused, |(use_, _)| *use_)
    }

    /// Says what a port is for, by as few lines as it takes. Whether that changed the list.
    pub fn set(&mut self, port: &PortName, use_: PortUse) -> bool {
        if self.of(port) == use_ {
            return false;
        }
        self.lines.retain(|line| {
            !line.entry.as_ref().is_some_and(|(_, pattern)| *pattern == Pattern::One(port.clone()))
        });
        if self.of(port) != use_ {
            let text = format!("{} {port}", use_.name());
            self.lines.push(Line { text, entry: Some((use_, Pattern::One(port.clone()))) });
        }
        true
    }
}

impl Line {
    fn parse(text: &str, line: usize) -> Result<Self, ListError> {
        let meant = text.split('#').next().unwrap_or_default();
        let column = |part: &str| 1 + meant.find(part).unwrap_or(0);
        let mut words = meant.split_ascii_whitespace();
        let Some(word) = words.next() else {
            return Ok(Self { text: text.to_owned(), entry: None });
        };
        let wrong = |column, problem| Err(ListError { line, column, problem });
        let Some(use_) = PortUse::ALL.into_iter().find(|use_| use_.name() == word) else {
            let problem = format!("{word:?}: a line begins with used, internal or unused");
            return wrong(column(word), problem);
        };
        let Some(pattern) = words.next() else {
            let problem = format!("a port is missing behind {word}, as in a/hs/1");
            return wrong(meant.trim_end().len() + 1, problem);
        };
        let at = word.len() + column(word);
        let at = at + meant.get(at - 1..).and_then(|rest| rest.find(pattern)).unwrap_or(0);
        let Some(parsed) = Pattern::parse(pattern) else {
            let problem = format!(
                "{pattern:?} is not a port, as in pci0000:00/0000:00:14.0/hs/1.3, nor a pattern of \
                 ports; `holdfast usb ports` shows the names"
            );
            return wrong(at, problem);
        };
        match words.next() {
            Some(more) => wrong(column(more), format!("{more:?} is too much: one port a line")),
            None => Ok(Self { text: text.to_owned(), entry: Some((use_, parsed)) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# ports of the box\nused a/b/hs/1\n  used a/b/hs/2.*  # hub\n\
                        internal a/b/hs/7\nunused a/b/hs/2.4\n\nused c/*\n";

    fn name(text: &str) -> PortName {
        PortName::parse(text).unwrap()
    }

    #[test]
    fn the_last_line_that_means_a_port_counts() {
        let list = PortList::parse(LIST.as_bytes()).unwrap();
        let table = [
            ("a/b/hs/1", PortUse::Used),
            ("a/b/hs/1.1", PortUse::Unused),
            ("a/b/hs/10", PortUse::Unused),
            ("a/b/ss/1", PortUse::Unused),
            ("a/b/hs/2", PortUse::Unused),
            ("a/b/hs/2.3", PortUse::Used),
            ("a/b/hs/2.3.1", PortUse::Used),
            ("a/b/hs/2.4", PortUse::Unused),
            ("a/b/hs/7", PortUse::Internal),
            ("c/ss/3", PortUse::Used),
            ("cc/ss/3", PortUse::Unused),
        ];
        for (port, expected) in table {
            assert_eq!(list.of(&name(port)), expected, "{port}");
        }
        assert_eq!(PortList::default().of(&name("a/hs/1")), PortUse::Unused);
        assert_eq!(PortList::parse(b"used *").unwrap().of(&name("a/hs/1")), PortUse::Used);
    }

    #[test]
    fn edits_keep_the_other_lines() {
        let mut list = PortList::parse(LIST.as_bytes()).unwrap();
        assert!(!list.set(&name("a/b/hs/1"), PortUse::Used));
        assert!(list.set(&name("a/b/hs/1"), PortUse::Unused));
        assert!(list.set(&name("a/b/hs/2.3"), PortUse::Unused));
        assert!(list.set(&name("a/b/hs/2.4"), PortUse::Used));
        let expected = LIST.replace("used a/b/hs/1\n", "").replace("unused a/b/hs/2.4\n", "")
            + "unused a/b/hs/2.3\n";
        assert_eq!(String::from_utf8(list.to_bytes()).unwrap(), expected);
        assert_eq!(PortList::parse(&list.to_bytes()).unwrap(), list);
    }

    #[test]
    fn faults_are_placed() {
        let table: [(&[u8], usize, usize, &str); 8] = [
            (b"open a/hs/1", 1, 1, "begins with used"),
            (b"used", 1, 5, "a port is missing"),
            (b"\nused  1-2", 2, 7, "not a port"),
            (b"used used/used", 1, 6, "not a port"),
            (b"used a/hs/1 a/hs/2", 1, 13, "too much"),
            (b"used */ss/1", 1, 6, "not a port"),
            (b"used a/hs/1\n\xff", 2, 1, "not UTF-8"),
            (b"used a/hs/1.*.*", 1, 6, "not a port"),
        ];
        for (text, line, column, expected) in table {
            let error = PortList::parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{error}");
            assert!(error.problem.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_images_list_has_every_port_off() {
        let text = include_bytes!("../../../../../rootfs-overlay/usr/lib/holdfast/usb-ports.conf");
        assert!(PortList::parse(text).unwrap().lines.iter().all(|line| line.entry.is_none()));
    }
}
