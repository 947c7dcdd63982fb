//! Putting messages together to events.

use std::collections::VecDeque;

use super::serials::Serials;
use super::{EventBuffer, EventId, KernelEvent, Message, MessageType, parse_prefix};
use crate::Loss;

/// What an assembler keeps at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events that wait for their end.
    pub events: usize,
    /// Bytes of these.
    pub bytes: usize,
    /// How long an event waits for its end, and a serial number for its event, nanoseconds.
    pub wait_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 512, bytes: 4 * 1024 * 1024, wait_ns: 2_000_000_000 }
    }
}

/// What comes out of an assembler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// An event, in the order in which events ended.
    Event(KernelEvent<'a>),
    /// Serial numbers that did not come.
    Loss(Loss),
}

/// Puts the kernel's messages together to events: those of one time stamp and serial number belong
/// together, and an event ends with the message of type `EOE`, at once where its type is
/// [single](MessageType::is_single), or when its time or the room for open events is over. Nothing
/// that goes in fails to come out.
///
/// After each call, [`Self::pop`] is called until it gives nothing. Buffers are used again, so that
/// an assembler in steady state does not allocate.
#[derive(Debug)]
pub struct Assembler {
    limits: Limits,
    /// In the order in which they began.
    open: VecDeque<Open>,
    /// Bytes of the open events.
    bytes: usize,
    done: VecDeque<Done>,
    /// What the caller of `pop` looks at.
    shown: Option<EventBuffer>,
    spare: Vec<EventBuffer>,
    serials: Serials,
    /// Events that ended not long ago, each in the place of its serial number.
    ended: Vec<Option<EventId>>,
}

#[derive(Debug)]
struct Open {
    since: u64,
    buffer: EventBuffer,
}

#[derive(Debug)]
enum Done {
    Event(EventBuffer),
    Loss(Loss),
}

impl Assembler {
    /// Number of events that late messages are known to belong to.
    const REMEMBERED: u32 = 1024;
    /// Empty buffers that are kept, and the longest of them, bytes.
    const SPARE: (usize, usize) = (64, 16 * 1024);

    /// An assembler that takes the first serial number for the first one.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: VecDeque::new(),
            bytes: 0,
            done: VecDeque::new(),
            shown: None,
            spare: Vec::new(),
            serials: Serials::default(),
            ended: vec![None; Self::REMEMBERED as usize],
        }
    }

    /// Goes on after an event of the same boot that was recorded before, so that what came in
    /// between is told as lost.
    #[must_use]
    pub fn after(self, serial: u32) -> Self {
        Self { serials: Serials::after(serial), ..self }
    }

    /// Takes a message: the type and the payload of a netlink message, at `now` of
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub fn push(&mut self, kind: MessageType, payload: &[u8], now: u64) {
        self.tick(now);
        let Some((id, text)) = parse_prefix(payload) else {
            return self.unparsed(kind, payload);
        };
        let message = Message { kind, text };
        // The newest are the likeliest.
        let place = self.open.iter().rposition(|open| open.buffer.id() == id);
        match place {
            Some(place) if kind == MessageType::EOE && text.is_empty() => self.end(place),
            Some(place) => self.add(place, message),
            None => self.begin(id, message, now),
        }
        while self.open.len() > self.limits.events || self.bytes > self.limits.bytes {
            self.give_up();
        }
    }

    /// Ends what waited too long.
    pub fn tick(&mut self, now: u64) {
        let Some(time) = now.checked_sub(self.limits.wait_ns) else { return };
        while self.open.front().is_some_and(|open| open.since <= time) {
            self.give_up();
        }
        while let Some(loss) = self.serials.lost_since(time) {
            self.done.push_back(Done::Loss(loss));
        }
    }

    /// Ends everything that waits.
    pub fn flush(&mut self) {
        while !self.open.is_empty() {
            self.give_up();
        }
        while let Some(loss) = self.serials.lost_since(u64::MAX) {
            self.done.push_back(Done::Loss(loss));
        }
    }

    /// When [`Self::tick`] has something to do, nanoseconds of `CLOCK_BOOTTIME`.
    pub fn next_deadline(&self) -> Option<u64> {
        let open = self.open.front().map(|open| open.since);
        let since = [open, self.serials.waiting_since()].into_iter().flatten().min()?;
        Some(since.saturating_add(self.limits.wait_ns))
    }

    /// The serial number up to which every event has come out, or was told as lost: for
    /// [`Self::after`].
    pub fn last_serial(&self) -> Option<u32> {
        let highest = self.serials.highest()?;
        let open = self.open.iter().map(|open| open.buffer.id().serial);
        let behind = open.chain(self.serials.first_missing()).map(|s| highest.wrapping_sub(s));
        // A late event's number was passed long ago.
        let most = behind.filter(|behind| *behind <= u32::MAX / 2).max();
        Some(most.map_or(highest, |behind| highest.wrapping_sub(behind).wrapping_sub(1)))
    }

    /// The next event or loss.
    pub fn pop(&mut self) -> Option<Output<'_>> {
        if let Some(buffer) = self.shown.take() {
            let (count, capacity) = Self::SPARE;
            if self.spare.len() < count && buffer.capacity() <= capacity {
                self.spare.push(buffer);
            }
        }
        match self.done.pop_front()? {
            Done::Loss(loss) => Some(Output::Loss(loss)),
            Done::Event(buffer) => Some(Output::Event(self.shown.insert(buffer).event())),
        }
    }

    fn buffer(&mut self, id: EventId) -> EventBuffer {
        match self.spare.pop() {
            Some(mut buffer) => {
                buffer.clear(id);
                buffer
            }
            None => EventBuffer::new(id),
        }
    }

    fn unparsed(&mut self, kind: MessageType, payload: &[u8]) {
        let mut buffer = self.buffer(EventId::default());
        buffer.push(Message { kind, text: payload });
        buffer.mark(super::Marks { is_unparsed: true, ..buffer.marks() });
        self.done.push_back(Done::Event(buffer));
    }

    fn begin(&mut self, id: EventId, message: Message<'_>, now: u64) {
        let has_ended = self.place_of(id).is_some_and(|place| *place == Some(id));
        if has_ended && message.kind == MessageType::EOE && message.text.is_empty() {
            return;
        }
        let is_expected = self.serials.see(id.serial, now);
        let mut buffer = self.buffer(id);
        let is_late = has_ended || !is_expected;
        buffer.mark(super::Marks { is_late, ..buffer.marks() });
        self.bytes += buffer.len();
        self.open.push_back(Open { since: now, buffer });
        let place = self.open.len() - 1;
        self.add(place, message);
        // An end without a beginning is all that there is.
        if message.kind.is_single() || message.kind == MessageType::EOE {
            self.end(place);
        }
    }

    fn add(&mut self, place: usize, message: Message<'_>) {
        let Some(Open { buffer, .. }) = self.open.get_mut(place) else { return };
        let before = buffer.len();
        buffer.push(message);
        self.bytes += buffer.len() - before;
    }

    fn end(&mut self, place: usize) {
        let Some(Open { buffer, .. }) = self.open.remove(place) else { return };
        self.bytes -= buffer.len();
        let id = buffer.id();
        if let Some(place) = self.place_of(id) {
            *place = Some(id);
        }
        self.done.push_back(Done::Event(buffer));
    }

    /// Ends the oldest event without its end.
    fn give_up(&mut self) {
        if let Some(Open { buffer, .. }) = self.open.front_mut() {
            buffer.mark(super::Marks { is_unended: true, ..buffer.marks() });
        }
        self.end(0);
    }

    fn place_of(&mut self, id: EventId) -> Option<&mut Option<EventId>> {
        self.ended.get_mut((id.serial % Self::REMEMBERED) as usize)
    }
}
