//! Text that is safe to keep and to show.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// UTF-8 text of at most `MAX` bytes, free of control characters and of direction marks, so that
/// a line of a log stays one line and reads in the order in which it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Checks length and characters.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        if text.len() > MAX {
            return Err(Error::TooLong { len: text.len(), max: MAX });
        }
        match text.chars().find(|c| is_unprintable(*c)) {
            Some(c) => Err(Error::Unprintable(u32::from(c))),
            None => Ok(Self(text)),
        }
    }

    /// Makes any text fit: refused characters become U+FFFD, what is too long is cut and ends
    /// in `…`. For facts that come from outside (process names, error messages).
    pub fn lossy(text: &str) -> Self {
        const ELLIPSIS: char = '…';
        let clean =
            text.chars().map(|c| if is_unprintable(c) { char::REPLACEMENT_CHARACTER } else { c });
        let mut kept = String::new();
        // Where to cut so that the ellipsis still fits.
        let mut cut = 0;
        for c in clean {
            if kept.len() + c.len_utf8() > MAX {
                kept.truncate(cut);
                if MAX >= ELLIPSIS.len_utf8() {
                    kept.push(ELLIPSIS);
                }
                break;
            }
            kept.push(c);
            if kept.len() + ELLIPSIS.len_utf8() <= MAX {
                cut = kept.len();
            }
        }
        Self(kept)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters (Cc), line and paragraph separators, and the marks of the Unicode
/// bidirectional algorithm (UAX #9, table of explicit directional formatting characters).
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{061C}')
        || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_could_mislead_a_reader() {
        for text in ["a\nb", "a\u{1b}[31m", "a\0", "a\u{202E}b", "a\u{2028}b", "a\u{85}b"] {
            assert!(matches!(Text::<64>::new(text), Err(Error::Unprintable(_))), "{text:?}");
        }
        assert!(matches!(Text::<3>::new("abcd"), Err(Error::TooLong { len: 4, max: 3 })));
        assert_eq!(Text::<8>::new("Grüße").unwrap().as_str(), "Grüße");
    }

    #[test]
    fn lossy_cuts_at_a_character_and_says_so() {
        assert_eq!(Text::<8>::lossy("abcdefgh").as_str(), "abcdefgh");
        assert_eq!(Text::<8>::lossy("abcdefghi").as_str(), "abcde…");
        assert_eq!(Text::<8>::lossy("abcdüüüü").as_str(), "abcd…");
        assert_eq!(Text::<8>::lossy("a\nb").as_str(), "a\u{FFFD}b");
        assert_eq!(Text::<2>::lossy("abc").as_str(), "");
    }

    proptest! {
        #[test]
        fn lossy_is_always_valid(text in ".{0,80}") {
            let lossy = Text::<32>::lossy(&text);
            prop_assert_eq!(Text::<32>::new(lossy.as_str()).unwrap(), lossy.clone());
            if Text::<32>::new(text.clone()).is_ok() {
                prop_assert_eq!(lossy.as_str(), text);
            }
        }
    }
}
