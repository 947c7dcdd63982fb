//! Lines that stay lines.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use super::Node;
use crate::frame::Frame;
use crate::kernel::{EventId, MessageType};

/// Longest line with its end, bytes: what `fgets` takes into the buffer of ausearch
/// (`MAX_AUDIT_MESSAGE_LENGTH` of libaudit.h) at once.
pub const MAX_LINE: usize = 8969;

/// Most bytes of a payload that nobody could read.
const MAX_BYTES: usize = 1024;

/// The user id that means none, and the session.
const UNSET: u32 = u32::MAX;

/// One line at the end of a text.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Line<'a> {
    pub(super) fn begin(
        out: &'a mut Vec<u8>,
        node: Option<&Node>,
        kind: MessageType,
        id: EventId,
    ) -> Self {
        let start = out.len();
        // Writing to memory does not fail.
        if let Some(node) = node {
            let _ = write!(out, "node={node} ");
        }
        let _ = write!(out, "type={kind} msg=audit({id}): ");
        Self { out, start }
    }

    /// Adds text that somebody else wrote; true if it had to be changed.
    pub(super) fn foreign(&mut self, text: &[u8]) -> bool {
        let from = self.out.len();
        self.out.extend_from_slice(text);
        let mut is_changed = false;
        for byte in &mut self.out[from..] {
            if byte.is_ascii_control() {
                *byte = b'?';
                is_changed = true;
            }
        }
        is_changed
    }

    pub(super) fn ours(&mut self, message: &UserMessage) {
        let UserMessage { pid, uid, login_uid, fields, result, .. } = message;
        let (pid, uid) = (pid.unwrap_or(0), uid.unwrap_or(UNSET));
        let auid = login_uid.unwrap_or(UNSET);
        let _ = write!(
            self.out,
            "pid={pid} uid={uid} auid={auid} ses={UNSET} msg='{fields} hostname=? addr=? terminal=? \
             res={result}'",
        );
    }

    /// Ends the line; true if it had to be cut.
    pub(super) fn end(self) -> bool {
        let most = self.start + MAX_LINE - 1;
        let is_cut = self.out.len() > most;
        self.out.truncate(most);
        self.out.push(b'\n');
        is_cut
    }
}

/// A message of user space as the kernel would have passed it on: who sent it, and fields between
/// single quotes. hostname, addr, terminal and res are always there and come last, where ausearch
/// looks for them.
#[derive(Debug)]
pub(super) struct UserMessage {
    pub(super) kind: MessageType,
    pub(super) pid: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) login_uid: Option<u32>,
    fields: String,
    result: &'static str,
}

impl UserMessage {
    /// A message that something was done; `operation` is a word.
    pub(super) fn new(kind: MessageType, operation: &str, frame: &Frame<'_>) -> Self {
        let fields = format!("op={operation} seq={} class={}", frame.sequence, frame.class.name());
        Self { kind, pid: None, uid: None, login_uid: None, fields, result: "success" }
    }

    pub(super) fn failed(self) -> Self {
        Self { result: "failed", ..self }
    }

    /// Adds a number or another word that needs no quotes.
    pub(super) fn word(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.fields, " {name}={value}");
    }

    /// Adds text that somebody else chose.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'=');
        if value.is_empty() {
            self.word(name, "?");
        } else if value.bytes().all(is_plain) {
            let _ = write!(self.fields, " {name}=\"{value}\"");
        } else {
            self.word(name, hex::encode_upper(value));
        }
    }

    /// Adds the beginning of bytes that may be anything.
    pub(super) fn bytes(&mut self, name: &str, value: &[u8]) {
        if value.is_empty() {
            self.word(name, "?");
        } else {
            self.word(name, hex::encode_upper(&value[..value.len().min(MAX_BYTES)]));
        }
    }
}
