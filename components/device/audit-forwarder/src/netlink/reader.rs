//! Taking events from the kernel. It never waits for disk or network.

use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd as _;

use holdfast_audit_log::kernel::MessageType;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, NetlinkAddr, recvmmsg};

use super::socket::{SLOT, split};
use super::{AuditSocket, NetlinkError, is_event};

/// How long a call waits for messages, seconds: so often the reader looks whether it is to end.
const LOOK_UP: i64 = 1;
/// Messages of one call.
const AT_ONCE: usize = 64;

/// Messages as they came, one after the other: type (2 bytes), length (4 bytes), payload; native
/// byte order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch(Vec<u8>);

impl Batch {
    /// Adds a message.
    pub fn push(&mut self, kind: MessageType, payload: &[u8]) {
        // A datagram is far shorter than 4 GiB.
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.0.extend(kind.0.to_ne_bytes());
        self.0.extend(len.to_ne_bytes());
        self.0.extend(payload);
    }

    /// Bytes in use.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all messages out of another one, behind those that are here.
    pub fn take_from(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    /// Removes the messages and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The messages, in order.
    pub fn messages(&self) -> Messages<'_> {
        Messages(&self.0)
    }
}

/// Messages of a [`Batch`].
#[derive(Clone, Debug)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (MessageType, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<6>()?;
        let kind = u16::from_ne_bytes([head[0], head[1]]);
        let len = u32::from_ne_bytes([head[2], head[3], head[4], head[5]]);
        let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some((MessageType(kind), payload))
    }
}

/// What a call to the kernel gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// So many messages; more may wait where it is as many as fit.
    Messages(usize),
    /// Nothing came in the socket's time.
    Nothing,
    /// The socket's buffer was full: messages are lost.
    Overflow,
}

/// Takes many messages with one call.
#[derive(Debug)]
pub struct Reader {
    socket: AuditSocket,
    slots: Vec<Vec<u8>>,
    headers: MultiHeaders<NetlinkAddr>,
}

impl Reader {
    /// Reads from a socket that is registered.
    pub fn new(socket: AuditSocket) -> Result<Self, NetlinkError> {
        socket.set_patience(LOOK_UP)?;
        let headers = MultiHeaders::preallocate(AT_ONCE, None);
        Ok(Self { socket, slots: vec![vec![0; SLOT]; AT_ONCE], headers })
    }

    /// Waits for a message, and takes all that wait with it.
    pub fn receive(&mut self, batch: &mut Batch) -> io::Result<Received> {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.slots.iter_mut().map(|slot| [IoSliceMut::new(slot)]).collect();
        let received = recvmmsg(
            self.socket.fd.as_raw_fd(),
            &mut self.headers,
            slices.iter_mut(),
            MsgFlags::MSG_WAITFORONE,
            None,
        );
        let lengths: Vec<(usize, bool)> = match received {
            Ok(messages) => messages
                .map(|message| (message.bytes, message.address.is_none_or(|from| from.pid() == 0)))
                .collect(),
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
            Err(Errno::ENOBUFS) => return Ok(Received::Overflow),
            Err(error) => return Err(error.into()),
        };
        for ((len, is_of_kernel), slot) in lengths.iter().zip(&self.slots) {
            // Whoever else may send to the socket is not the kernel.
            if let Some((kind, _, payload)) = split(&slot[..*len])
                && *is_of_kernel
                && is_event(kind)
            {
                batch.push(MessageType(kind), payload);
            }
        }
        Ok(Received::Messages(lengths.len()))
    }

    /// As many messages as one call takes.
    pub const fn at_once() -> usize {
        AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_went_in() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.push(MessageType(1300), b"audit(1.000:1): a");
        batch.push(MessageType(1320), b"");
        let messages: Vec<_> = batch.messages().collect();
        assert_eq!(messages[0], (MessageType(1300), &b"audit(1.000:1): a"[..]));
        assert_eq!(messages[1], (MessageType(1320), &b""[..]));
        assert_eq!((messages.len(), batch.len()), (2, 29));
    }
}
