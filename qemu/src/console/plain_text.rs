/// Turns a terminal's bytes into lines of plain text.
///
/// Escape sequences (ECMA-48) are dropped. Whatever moves the cursor back or elsewhere starts a new
/// line instead, so that no text is lost or run together.
#[derive(Debug, Default)]
pub(super) struct PlainText {
    /// The last one may still grow.
    lines: Vec<String>,
    /// Bytes of a character that is not complete yet.
    unfinished: Vec<u8>,
    mode: Mode,
    after_return: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: one final byte follows.
    EscapeIntermediate,
    /// Control sequence, until a final byte.
    Control,
    /// Operating system command or other string, until BEL or ESC \.
    String,
    StringEscape,
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

impl Mode {
    fn after(self, byte: u8) -> Self {
        match self {
            Self::String if byte == ESC => Self::StringEscape,
            Self::String if byte == BEL => Self::Text,
            Self::StringEscape if byte == b'\\' => Self::Text,
            Self::String | Self::StringEscape => Self::String,
            _ if byte == ESC => Self::Escape,
            Self::Escape => match byte {
                b'[' => Self::Control,
                b']' | b'P' | b'X' | b'^' | b'_' => Self::String,
                0x20..=0x2f => Self::EscapeIntermediate,
                _ => Self::Text,
            },
            Self::EscapeIntermediate if (0x20..=0x2f).contains(&byte) => self,
            Self::Control if (0x20..=0x3f).contains(&byte) => self,
            Self::Text | Self::EscapeIntermediate | Self::Control => Self::Text,
        }
    }
}

/// Final bytes of the control sequences that clear the screen or leave the line.
fn moves_cursor(byte: u8) -> bool {
    b"ABEFHJf".contains(&byte)
}

impl PlainText {
    /// All lines; the last one may still grow.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.push_byte(byte);
        }
    }

    fn push_byte(&mut self, byte: u8) {
        match self.mode {
            Mode::Text if byte != ESC => self.push_text(byte),
            Mode::Control if moves_cursor(byte) => self.after_return = true,
            _ => {}
        }
        self.mode = self.mode.after(byte);
    }

    fn push_text(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.finish_character();
                if self.lines.is_empty() {
                    self.lines.push(String::new());
                }
                self.lines.push(String::new());
                self.after_return = false;
            }
            b'\r' => self.after_return = true,
            b'\t' | 0x20..=0x7e | 0x80.. => {
                if std::mem::take(&mut self.after_return) && self.current_has_text() {
                    self.finish_character();
                    self.lines.push(String::new());
                }
                if self.lines.is_empty() {
                    self.lines.push(String::new());
                }
                self.push_character(byte);
            }
            _ => {}
        }
    }

    fn current_has_text(&self) -> bool {
        !self.unfinished.is_empty() || self.lines.last().is_some_and(|line| !line.is_empty())
    }

    fn push_character(&mut self, byte: u8) {
        let starts_character = !(0x80..0xc0).contains(&byte);
        if starts_character {
            self.finish_character();
        }
        self.unfinished.push(byte);
        if byte < 0x80
            || std::str::from_utf8(&self.unfinished).is_ok()
            || self.unfinished.len() == 4
        {
            self.finish_character();
        }
    }

    fn finish_character(&mut self) {
        if let Some(line) = self.lines.last_mut() {
            line.push_str(&String::from_utf8_lossy(&self.unfinished));
        }
        self.unfinished.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::PlainText;

    fn lines(input: &[u8]) -> Vec<String> {
        let mut whole = PlainText::default();
        whole.push(input);
        let mut bytewise = PlainText::default();
        for byte in input {
            bytewise.push(&[*byte]);
        }
        assert_eq!(whole.lines(), bytewise.lines());
        whole.lines().to_vec()
    }

    #[test]
    fn what_consoles_send() {
        let table: [(&[u8], &[&str]); 10] = [
            (b"one\r\ntwo\r\n", &["one", "two", ""]),
            (b"\nx", &["", "x"]),
            (b"login: ", &["login: "]),
            (b"\x1b[0;1;32m  OK  \x1b[0m done\r\n", &["  OK   done", ""]),
            (b"10%\r20%\r\n", &["10%", "20%", ""]),
            (b"a\x1b[2J\x1b[01;01Hb", &["a", "b"]),
            (b"\x1b]0;title\x07text\x1b]8;;u\x1b\\!", &["text!"]),
            (b"\x1b(Bplain\x1b=\x00\x07", &["plain"]),
            ("Grüße ✓\n".as_bytes(), &["Grüße ✓", ""]),
            (b"bad \xff\xfe end", &["bad \u{fffd}\u{fffd} end"]),
        ];
        for (input, expected) in table {
            assert_eq!(lines(input), expected, "{:?}", String::from_utf8_lossy(input));
        }
    }
}
