//! The payload of a record with an event of the kernel.
//!
//! ```text
//!  offset  bytes
//!       0      1  format, 1
//!       1      1  marks; 1: late, 2: without an end, 4: unparsed
//!       2      2  milliseconds of the time stamp
//!       4      4  serial number
//!       8      8  seconds of the time stamp
//!      16      4  messages that were cut because the payload was full
//!      20      …  messages in order: type (2), length of the text (2), text
//! ```
//!
//! Integers are big-endian. The text is what the kernel sent after `audit(…): `, byte by byte.

use std::fmt;

use serde::Serialize;

use super::MessageType;
use crate::frame::Frame;
use crate::reader::Reader;

const FORMAT: u8 = 1;
const HEADER: usize = 20;
const MESSAGE: usize = 4;
const CUT: usize = 16;
const MARKS: usize = 1;

/// What all messages of an event have in common: `audit(seconds.milliseconds:serial)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct EventId {
    /// Seconds since 1970.
    pub seconds: u64,
    /// 0 to 999.
    pub milliseconds: u16,
    /// The kernel's number of the event in this boot; wraps around.
    pub serial: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, milliseconds, serial } = self;
        write!(f, "{seconds}.{milliseconds:03}:{serial}")
    }
}

/// What is particular about an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Marks {
    /// Messages came after their event was recorded, or after its serial number was told as lost.
    pub is_late: bool,
    /// Messages may be missing: no end came in time, or too many events were open.
    pub is_unended: bool,
    /// The one message has no time stamp that can be read; its text is the whole of what came.
    pub is_unparsed: bool,
}

impl Marks {
    fn as_byte(self) -> u8 {
        let Self { is_late, is_unended, is_unparsed } = self;
        u8::from(is_late) | u8::from(is_unended) << 1 | u8::from(is_unparsed) << 2
    }

    fn from_byte(byte: u8) -> Option<Self> {
        let bit = |place: u8| byte >> place & 1 == 1;
        (byte < 8).then(|| Self { is_late: bit(0), is_unended: bit(1), is_unparsed: bit(2) })
    }
}

/// One message of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type.
    pub kind: MessageType,
    /// What follows `audit(…): `.
    pub text: &'a [u8],
}

/// An event of the kernel, in the bytes of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelEvent<'a> {
    /// Which event.
    pub id: EventId,
    /// What is particular about it.
    pub marks: Marks,
    /// Messages that are not here because the payload was full.
    pub cut: u32,
    payload: &'a [u8],
}

/// Why a payload is not an event of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    /// The payload ends inside its fixed part.
    #[error("the event's header is cut off: {0} bytes are there")]
    CutOff(usize),
    /// The format is not known here.
    #[error("byte 0: format {0} is not known")]
    Format(u8),
    /// Marks that have no meaning are set.
    #[error("byte 1: marks {0:#04x} are not known")]
    Marks(u8),
    /// More milliseconds than a second has.
    #[error("byte 2: {0} is no number of milliseconds")]
    Milliseconds(u16),
    /// A message ends after the payload.
    #[error("byte {offset}: the message is cut off")]
    Message {
        /// Where it begins, bytes from the start of the payload.
        offset: usize,
    },
}

impl<'a> KernelEvent<'a> {
    /// Reads a payload and checks that all messages are whole.
    pub fn parse(payload: &'a [u8]) -> Result<Self, NotAnEvent> {
        let event = Self::of_header(payload).ok_or(NotAnEvent::CutOff(payload.len()))??;
        let mut messages = event.messages();
        while messages.next().is_some() {}
        if messages.rest.is_empty() {
            Ok(event)
        } else {
            Err(NotAnEvent::Message { offset: payload.len() - messages.rest.len() })
        }
    }

    fn of_header(payload: &'a [u8]) -> Option<Result<Self, NotAnEvent>> {
        let mut reader = Reader(payload);
        let [format, marks] = reader.array()?;
        let milliseconds = reader.u16()?;
        let serial = reader.u32()?;
        let seconds = reader.u64()?;
        let cut = reader.u32()?;
        let id = EventId { seconds, milliseconds, serial };
        Some(match Marks::from_byte(marks) {
            _ if format != FORMAT => Err(NotAnEvent::Format(format)),
            None => Err(NotAnEvent::Marks(marks)),
            _ if milliseconds > 999 => Err(NotAnEvent::Milliseconds(milliseconds)),
            Some(marks) => Ok(Self { id, marks, cut, payload }),
        })
    }

    /// The bytes of the payload.
    pub fn as_payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The messages in the order in which they came.
    pub fn messages(&self) -> Messages<'a> {
        Messages { rest: self.payload.get(HEADER..).unwrap_or_default() }
    }
}

/// Messages of an event.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let mut reader = Reader(self.rest);
        let kind = MessageType(reader.u16()?);
        let length = usize::from(reader.u16()?);
        let text = reader.bytes(length)?;
        self.rest = reader.0;
        Some(Message { kind, text })
    }
}

/// An event that is being put together, always as its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBuffer {
    id: EventId,
    marks: Marks,
    cut: u32,
    payload: Vec<u8>,
}

impl EventBuffer {
    /// An event without messages.
    pub fn new(id: EventId) -> Self {
        let mut event = Self { id, marks: Marks::default(), cut: 0, payload: Vec::new() };
        event.clear(id);
        event
    }

    /// Makes it an event without messages; the memory is kept.
    pub(super) fn clear(&mut self, id: EventId) {
        let EventId { seconds, milliseconds, serial } = id;
        (self.id, self.marks, self.cut) = (id, Marks::default(), 0);
        self.payload.clear();
        self.payload.extend([FORMAT, 0]);
        self.payload.extend(milliseconds.to_be_bytes());
        self.payload.extend(serial.to_be_bytes());
        self.payload.extend(seconds.to_be_bytes());
        self.payload.extend([0; 4]);
    }

    /// Adds a message. Where it does not fit it is counted as cut, and false is returned.
    pub fn push(&mut self, message: Message<'_>) -> bool {
        let Message { kind, text } = message;
        let has_room = self.payload.len() + MESSAGE + text.len() <= Frame::MAX_PAYLOAD;
        match u16::try_from(text.len()) {
            Ok(length) if has_room => {
                self.payload.extend(kind.0.to_be_bytes());
                self.payload.extend(length.to_be_bytes());
                self.payload.extend(text);
                true
            }
            _ => {
                self.cut = self.cut.saturating_add(1);
                self.payload[CUT..HEADER].copy_from_slice(&self.cut.to_be_bytes());
                false
            }
        }
    }

    /// Says what is particular about it.
    pub fn mark(&mut self, marks: Marks) {
        self.marks = marks;
        self.payload[MARKS] = marks.as_byte();
    }

    /// What is particular about it.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// Which event.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// The event as far as it is there.
    pub fn event(&self) -> KernelEvent<'_> {
        let Self { id, marks, cut, payload } = self;
        KernelEvent { id: *id, marks: *marks, cut: *cut, payload }
    }

    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.payload.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: EventId = EventId { seconds: 1_364_481_363, milliseconds: 243, serial: 24_287 };

    fn message(kind: u16, text: &[u8]) -> Message<'_> {
        Message { kind: MessageType(kind), text }
    }

    #[test]
    fn layout() {
        let mut buffer = EventBuffer::new(ID);
        assert!(buffer.push(message(1300, b"a=1")));
        buffer.mark(Marks { is_unended: true, ..Marks::default() });
        let expected = "010200f300005edf00000000515455530000000005140003613d31";
        assert_eq!(hex::encode(buffer.event().as_payload()), expected);
        assert_eq!(ID.to_string(), "1364481363.243:24287");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut buffer = EventBuffer::new(ID);
        let long = vec![b'x'; 65_535];
        assert!(!buffer.push(message(1309, &long)));
        assert!(!buffer.push(message(1309, &vec![b'x'; 70_000])));
        assert!(buffer.push(message(1309, &long[..60_000])));
        assert!(!buffer.push(message(1309, &long[..6_000])));
        assert!(buffer.push(message(1307, b"cwd=\"/\"")));
        let rest = Frame::MAX_PAYLOAD - buffer.len() - MESSAGE;
        assert!(!buffer.push(message(1302, &long[..=rest])));
        assert!(buffer.push(message(1302, &long[..rest])));
        assert_eq!(buffer.len(), Frame::MAX_PAYLOAD);
        assert!(!buffer.push(message(1302, b"")));
        let event = KernelEvent::parse(buffer.event().as_payload()).unwrap();
        assert_eq!((event.cut, event.messages().count()), (5, 3));
        assert_eq!(event, buffer.event());
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let mut buffer = EventBuffer::new(ID);
        buffer.push(message(1300, b"a=1"));
        buffer.push(message(1307, b""));
        let good = buffer.event().as_payload().to_vec();
        let with = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            bytes
        };
        let table = [
            (vec![], NotAnEvent::CutOff(0)),
            (good[..19].to_vec(), NotAnEvent::CutOff(19)),
            (with(0, 2), NotAnEvent::Format(2)),
            (with(1, 8), NotAnEvent::Marks(8)),
            (with(2, 4), NotAnEvent::Milliseconds(4 * 256 + 243)),
            (good[..30].to_vec(), NotAnEvent::Message { offset: 27 }),
            (with(23, 9), NotAnEvent::Message { offset: 20 }),
        ];
        for (bytes, error) in table {
            assert_eq!(KernelEvent::parse(&bytes), Err(error));
        }
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(
            seconds in any::<u64>(),
            milliseconds in 0..1000u16,
            serial in any::<u32>(),
            marks in 0..8u8,
            messages in prop::collection::vec(
                (any::<u16>(), prop::collection::vec(any::<u8>(), 0..100)), 0..10),
        ) {
            let id = EventId { seconds, milliseconds, serial };
            let mut buffer = EventBuffer::new(id);
            for (kind, text) in &messages {
                prop_assert!(buffer.push(message(*kind, text)));
            }
            let marks = Marks::from_byte(marks).unwrap();
            buffer.mark(marks);
            let event = KernelEvent::parse(buffer.event().as_payload()).unwrap();
            prop_assert_eq!(event, buffer.event());
            prop_assert_eq!((event.id, event.marks, event.cut), (id, marks, 0));
            let found: Vec<_> = event.messages().map(|m| (m.kind.0, m.text.to_vec())).collect();
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn accepted_bytes_are_written_back(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if bytes.len() > HEADER {
                (bytes[0], bytes[1], bytes[2]) = (FORMAT, bytes[1] % 8, bytes[2] % 4);
                bytes[16..20].fill(0);
            }
            if let Ok(event) = KernelEvent::parse(&bytes) {
                let mut buffer = EventBuffer::new(event.id);
                event.messages().for_each(|message| assert!(buffer.push(message)));
                buffer.mark(event.marks);
                prop_assert_eq!(buffer.event().as_payload(), bytes.as_slice());
            }
        }
    }
}
