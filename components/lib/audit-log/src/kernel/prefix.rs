//! The time stamp before the text of each message.

use super::EventId;

/// Takes `audit(1364481363.243:24287): ` off a message (`audit_log_start` in the kernel's
/// `kernel/audit.c`). `None` where it does not begin exactly so.
pub fn parse_prefix(payload: &[u8]) -> Option<(EventId, &[u8])> {
    let rest = payload.strip_prefix(b"audit(")?;
    let (seconds, rest) = decimal(rest)?;
    let (milliseconds, rest) = rest.strip_prefix(b".")?.split_first_chunk::<3>()?;
    let (serial, rest) = decimal(rest.strip_prefix(b":")?)?;
    let rest = rest.strip_prefix(b")")?.strip_prefix(b":")?;
    let milliseconds = milliseconds.iter().try_fold(0, |sum: u16, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0'))
    })?;
    let serial = u32::try_from(serial).ok()?;
    // The end of an event may have nothing after the colon.
    let text = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
    Some((EventId { seconds, milliseconds, serial }, text))
}

/// A number without zeros before it.
fn decimal(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let len = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(len);
    let has_one_spelling = matches!(digits, [b'0'] | [b'1'..=b'9', ..]);
    let number = digits
        .iter()
        .try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    has_one_spelling.then_some((number, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms() {
        let id = |seconds, milliseconds, serial| EventId { seconds, milliseconds, serial };
        let good: &[(&str, EventId, &str)] = &[
            ("audit(1364481363.243:24287): a=1", id(1_364_481_363, 243, 24_287), "a=1"),
            ("audit(0.000:0): ", id(0, 0, 0), ""),
            ("audit(0.007:4294967295):", id(0, 7, u32::MAX), ""),
            ("audit(1.000:1):  b", id(1, 0, 1), " b"),
        ];
        for (text, id, rest) in good {
            assert_eq!(parse_prefix(text.as_bytes()), Some((*id, rest.as_bytes())), "{text}");
        }
        let bad = [
            "",
            "audit",
            "audit(1.000:1) a",
            "audit(1.000:1):a",
            "audit(1.00:1): a",
            "audit(1.0000:1): a",
            "audit(1.+00:1): a",
            "audit(01.000:1): a",
            "audit(.000:1): a",
            "audit(1.000:4294967296): a",
            "audit(1.000:-1): a",
            "audit(18446744073709551616.000:1): a",
            " audit(1.000:1): a",
        ];
        for text in bad {
            assert_eq!(parse_prefix(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_printed_again(
            seconds in any::<u64>(),
            milliseconds in 0..1000u16,
            serial in any::<u32>(),
            text in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let id = EventId { seconds, milliseconds, serial };
            let payload = [format!("audit({id}): ").as_bytes(), &text].concat();
            prop_assert_eq!(parse_prefix(&payload), Some((id, text.as_slice())));
        }
    }
}
