//! DER encoding of structures whose order must be kept (X.690, section 8).

/// Universal and context tags in use.
pub mod tag {
    /// INTEGER
    pub const INTEGER: u8 = 0x02;
    /// OBJECT IDENTIFIER
    pub const OID: u8 = 0x06;
    /// SEQUENCE
    pub const SEQUENCE: u8 = 0x30;
    /// SET
    pub const SET: u8 = 0x31;
    /// [0], constructed
    pub const CONTEXT_0: u8 = 0xA0;
}

/// One element: tag, definite length, the parts as content.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(len + 6);
    out.push(tag);
    #[allow(clippy::cast_possible_truncation)] // below 0x80, and one byte at a time
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
        out.push(0x80 | (bytes.len() - first) as u8);
        out.extend_from_slice(&bytes[first..]);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_use_the_shortest_form() {
        for (len, head) in [
            (0, vec![0x04, 0x00]),
            (0x7F, vec![0x04, 0x7F]),
            (0x80, vec![0x04, 0x81, 0x80]),
            (0x100, vec![0x04, 0x82, 0x01, 0x00]),
        ] {
            let out = element(0x04, &[&vec![0xAA; len]]);
            assert_eq!(out[..head.len()], head, "{len}");
            assert_eq!(out.len(), head.len() + len);
        }
    }
}
