//! Text for terminals.

/// Shows what others wrote without letting it do anything: control characters, direction marks and
/// quotes are escaped.
pub fn quoted(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| match c {
        // Rust escapes what is not printable; these are, and would rearrange what stands beside.
        '\u{200E}' | '\u{200F}' | '\u{061C}' => c.escape_unicode().collect::<Vec<_>>(),
        '\'' => vec![c],
        c => c.escape_debug().collect(),
    });
    escaped.collect()
}

/// As [`quoted`], from bytes that may be no UTF-8.
pub fn bytes(bytes: &[u8]) -> String {
    quoted(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal() {
        for text in ["a\nb", "\u{1b}[31m", "\u{202E}x", "\u{200F}", "\u{9b}", "\0"] {
            let shown = quoted(text);
            assert!(shown.chars().all(|c| c.is_ascii() && !c.is_ascii_control()), "{shown}");
        }
        assert_eq!(quoted("Grüße's"), "Grüße's");
        assert_eq!(bytes(b"a\xFF"), "a\u{FFFD}");
    }
}
