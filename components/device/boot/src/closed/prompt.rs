//! What is typed at the console of a locked device, letter by letter. Pure.
//!
//! Nothing but a recovery key is taken: what does not have its form is dropped before anything is
//! tried, and no letter has an effect of its own.

use std::time::Duration;

use holdfast_recovery::RecoveryKey;
use zeroize::Zeroizing;

const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const ENTER: [u8; 2] = [b'\r', b'\n'];
/// Ctrl-U, which erases a line at every Unix prompt.
const ERASE_LINE: u8 = 0x15;

/// The line at one console.
pub struct Line {
    text: Zeroizing<String>,
    overlong: bool,
}

/// What a letter led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing to show.
    Nothing,
    /// Show this; never what was typed.
    Echo(String),
    /// The line is not a recovery key; this is why.
    NotAKey(String),
    /// A recovery key, right or wrong.
    Key(RecoveryKey),
}

impl Default for Line {
    fn default() -> Self {
        // As long as it gets, so that no copy is left behind by growing.
        let text = Zeroizing::new(String::with_capacity(RecoveryKey::MAX_TYPED));
        Self { text, overlong: false }
    }
}

impl Line {
    /// Takes a letter.
    pub fn feed(&mut self, byte: u8) -> Typed {
        if ENTER.contains(&byte) {
            return self.end();
        }
        if BACKSPACE.contains(&byte) {
            return match self.text.pop() {
                Some(_) => Typed::Echo("\x08 \x08".to_owned()),
                None => Typed::Nothing,
            };
        }
        if byte == ERASE_LINE {
            let erased = "\x08 \x08".repeat(self.text.len());
            *self = Self::default();
            return Typed::Echo(erased);
        }
        if !byte.is_ascii_graphic() && byte != b' ' {
            return Typed::Nothing;
        }
        if self.text.len() == RecoveryKey::MAX_TYPED {
            self.overlong = true;
            return Typed::Nothing;
        }
        self.text.push(char::from(byte));
        Typed::Echo("*".to_owned())
    }

    fn end(&mut self) -> Typed {
        let Self { text, overlong } = std::mem::take(self);
        if text.is_empty() {
            return Typed::Nothing;
        }
        if overlong {
            return Typed::NotAKey("the line is too long".to_owned());
        }
        match text.parse::<RecoveryKey>() {
            Ok(key) => Typed::Key(key),
            Err(error) => Typed::NotAKey(error.to_string()),
        }
    }
}

/// How long nothing is taken after a wrong key: 2 s, doubled each time, 60 s at most. It is the
/// length of the key that keeps people from guessing it; this keeps them from flooding the TPM.
pub fn pause(wrong_keys: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(wrong_keys.min(6)).min(60))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv";

    fn typed(line: &mut Line, bytes: &[u8]) -> (Typed, String) {
        let mut shown = String::new();
        let mut last = Typed::Nothing;
        for &byte in bytes {
            last = line.feed(byte);
            if let Typed::Echo(text) = &last {
                shown += text;
            }
        }
        (last, shown)
    }

    fn key() -> Typed {
        Typed::Key(KEY.parse().unwrap())
    }

    #[test]
    fn a_key_is_taken_and_not_shown() {
        for end in ["\r", "\n"] {
            let (last, shown) = typed(&mut Line::default(), format!("{KEY}{end}").as_bytes());
            assert_eq!(last, key());
            assert_eq!(shown, "*".repeat(KEY.len()));
        }
    }

    #[test]
    fn mistakes_are_mended() {
        let text = format!("xx\x7f\x08{KEY}q\x08\r");
        assert_eq!(typed(&mut Line::default(), text.as_bytes()).0, key());
        let text = format!("nonsense\x15{KEY}\r");
        assert_eq!(typed(&mut Line::default(), text.as_bytes()).0, key());
        let mut line = Line::default();
        assert_eq!(typed(&mut line, b"\x08\x7f"), (Typed::Nothing, String::new()));
        assert!(line.text.is_empty());
    }

    /// Ctrl-C, -D, -Z, -\, -S, -Q, Escape and its sequences, Tab, NUL of a break, bytes of other
    /// character sets.
    #[test]
    fn no_letter_has_an_effect_of_its_own() {
        let controls: Vec<u8> =
            (0..0x20).chain(0x80..=0xff).filter(|b| !b"\x08\x0a\x0d\x15".contains(b)).collect();
        let mut line = Line::default();
        assert_eq!(typed(&mut line, &controls), (Typed::Nothing, String::new()));
        assert!(line.text.is_empty());
        let mut mixed = Vec::new();
        for byte in KEY.bytes() {
            mixed.extend([3, 4, 26, 28, 27, byte]);
        }
        mixed.push(b'\r');
        assert_eq!(typed(&mut line, &mixed).0, key());
    }

    #[test]
    fn everything_else_is_no_key() {
        for (text, part) in [
            ("reboot\r", "other characters"),
            ("root\r", "other characters"),
            ("cbde\r", "too short"),
            ("; /bin/sh\r", "other characters"),
        ] {
            let (last, _) = typed(&mut Line::default(), text.as_bytes());
            let Typed::NotAKey(why) = last else { panic!("{text}: {last:?}") };
            assert!(why.contains(part), "{text}: {why}");
        }
        assert_eq!(typed(&mut Line::default(), b"\r\n\r").0, Typed::Nothing);
    }

    #[test]
    fn a_line_has_an_end() {
        let mut line = Line::default();
        let (_, shown) = typed(&mut line, &vec![b'c'; 1_000_000]);
        assert_eq!(shown.len(), RecoveryKey::MAX_TYPED);
        assert!(line.text.capacity() <= RecoveryKey::MAX_TYPED);
        assert_eq!(line.feed(b'\r'), Typed::NotAKey("the line is too long".into()));
        assert_eq!(typed(&mut line, format!("{KEY}\r").as_bytes()).0, key());
    }

    #[test]
    fn pauses_grow() {
        let pauses: Vec<u64> = [1, 2, 3, 6, 7, u32::MAX].map(|n| pause(n).as_secs()).into();
        assert_eq!(pauses, [2, 4, 8, 60, 60, 60]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_panic_and_never_shown(bytes: Vec<u8>) {
            let (_, shown) = typed(&mut Line::default(), &bytes);
            prop_assert!(shown.chars().all(|c| "*\x08 ".contains(c)));
        }
    }
}
