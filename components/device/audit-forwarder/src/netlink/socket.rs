//! The socket: requests and their answers.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, OwnedFd};

use holdfast_audit_log::kernel::MessageType;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom,
    sendmsg, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::status::Setting;
use super::{AUDIT_GET, AUDIT_SET, Status, is_event};

/// `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST_ACK: u16 = 1 | 4;
/// The kernel's own limit of a message (`MAX_AUDIT_MESSAGE_LENGTH`), with its header.
pub(super) const SLOT: usize = 8970 + HEADER;
/// A burst must fit in while a disk syncs.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// How long an answer of the kernel may take, seconds.
const PATIENCE: i64 = 10;

/// The kernel's audit cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// A call failed.
    #[error("cannot {act} the kernel's audit socket: {source}")]
    Socket {
        /// What was tried.
        act: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("the kernel refuses {what}: {source}")]
    Refused {
        /// The request.
        what: String,
        /// The reason.
        source: io::Error,
    },
    /// Another process is the kernel's audit daemon.
    #[error("another audit daemon runs: process {pid}; stop it first (systemctl stop auditd)")]
    Taken {
        /// Which.
        pid: u32,
    },
    /// The kernel's answer makes no sense.
    #[error("the kernel's answer to {0} cannot be read")]
    Answer(String),
}

impl NetlinkError {
    pub(super) fn about(self, what: String) -> Self {
        match self {
            Self::Refused { source, .. } => Self::Refused { what, source },
            other => other,
        }
    }

    /// The kernel refuses, since a file or folder is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn socket(act: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Socket { act, source: errno.into() }
    }
}

/// Events that come between answers.
pub(super) type Sink<'s> = &'s mut dyn FnMut(MessageType, &[u8]);

/// A netlink socket of the kernel's audit.
#[derive(Debug)]
pub struct AuditSocket {
    pub(super) fd: OwnedFd,
    sequence: u32,
}

impl AuditSocket {
    /// Opens one.
    pub fn open() -> Result<Self, NetlinkError> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkAudit,
        )
        .map_err(NetlinkError::socket("open"))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(NetlinkError::socket("bind"))?;
        // Beyond net.core.rmem_max only who administers the network may go.
        if setsockopt(&fd, RcvBufForce, &RECEIVE_BUFFER).is_err()
            && let Err(error) = setsockopt(&fd, RcvBuf, &RECEIVE_BUFFER)
        {
            tracing::warn!("the audit socket keeps its small buffer: {error}");
        }
        let socket = Self { fd, sequence: 0 };
        socket.set_patience(PATIENCE)?;
        Ok(socket)
    }

    /// How long a call waits for the kernel, seconds.
    pub(super) fn set_patience(&self, seconds: i64) -> Result<(), NetlinkError> {
        let patience = TimeVal::seconds(seconds);
        setsockopt(&self.fd, ReceiveTimeout, &patience).map_err(NetlinkError::socket("set up"))
    }

    /// The kernel's state.
    pub fn status(&mut self, sink: Sink<'_>) -> Result<Status, NetlinkError> {
        let answers = self.exchange(AUDIT_GET, &[], AUDIT_GET, sink)?;
        let status = answers.first().and_then(|answer| Status::parse(answer));
        status.ok_or_else(|| NetlinkError::Answer(name(AUDIT_GET)))
    }

    /// Makes this process the one that gets the events, through this socket.
    pub(super) fn register(&mut self, sink: Sink<'_>) -> Result<(), NetlinkError> {
        let pid = std::process::id();
        match self.set(Setting::Pid, pid, &mut *sink) {
            Err(NetlinkError::Refused { source, .. })
                if source.raw_os_error() == Some(Errno::EEXIST as i32) =>
            {
                Err(NetlinkError::Taken { pid: self.status(sink)?.pid })
            }
            other => other,
        }
    }

    pub(super) fn set(
        &mut self,
        setting: Setting,
        value: u32,
        sink: Sink<'_>,
    ) -> Result<(), NetlinkError> {
        self.request(AUDIT_SET, &setting.encode(value), sink)
            .map_err(|error| error.about(format!("{setting:?} = {value}")))
    }

    pub(super) fn request(
        &mut self,
        kind: u16,
        payload: &[u8],
        sink: Sink<'_>,
    ) -> Result<(), NetlinkError> {
        self.exchange(kind, payload, 0, sink).map(drop)
    }

    /// A request whose answers come one by one.
    pub(super) fn request_list(
        &mut self,
        kind: u16,
        sink: Sink<'_>,
    ) -> Result<Vec<Vec<u8>>, NetlinkError> {
        self.exchange(kind, &[], kind, sink)
    }

    /// Sends a request; waits for the acknowledgement, and where `answer` is a type, for answers of
    /// it up to the end of their list.
    fn exchange(
        &mut self,
        kind: u16,
        payload: &[u8],
        answer: u16,
        sink: Sink<'_>,
    ) -> Result<Vec<Vec<u8>>, NetlinkError> {
        self.sequence += 1;
        let sequence = self.sequence;
        let length =
            u32::try_from(HEADER + payload.len()).map_err(|_| NetlinkError::Answer(name(kind)))?;
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(REQUEST_ACK.to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend(payload);
        let kernel = NetlinkAddr::new(0, 0);
        let parts = [IoSlice::new(&message)];
        sendmsg(self.fd.as_raw_fd(), &parts, &[], MsgFlags::empty(), Some(&kernel))
            .map_err(NetlinkError::socket("write to"))?;

        let mut answers = Vec::new();
        let mut is_acknowledged = false;
        let mut is_complete = answer == 0;
        let mut buffer = vec![0; 4 * SLOT];
        while !(is_acknowledged && is_complete) {
            let (len, from) = recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), &mut buffer)
                .map_err(NetlinkError::socket("read from"))?;
            if from.is_some_and(|from| from.pid() != 0) {
                continue;
            }
            let Some((kind_here, of, payload)) = split(&buffer[..len]) else { continue };
            if is_event(kind_here) {
                sink(MessageType(kind_here), payload);
                continue;
            }
            if of != sequence {
                continue;
            }
            match kind_here {
                ERROR => {
                    let code = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                    if code != 0 {
                        let source = io::Error::from_raw_os_error(-code);
                        return Err(NetlinkError::Refused { what: name(kind), source });
                    }
                    is_acknowledged = true;
                }
                DONE => is_complete = true,
                found if found == answer => {
                    answers.push(payload.to_vec());
                    // The one answer that is no list.
                    is_complete |= answer == AUDIT_GET;
                }
                _ => {}
            }
        }
        Ok(answers)
    }
}

/// Type, sequence number and payload of a datagram. The kernel leaves its header out of the length
/// of events, so the datagram's own length counts.
pub(super) fn split(datagram: &[u8]) -> Option<(u16, u32, &[u8])> {
    let (header, payload) = datagram.split_first_chunk::<HEADER>()?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    Some((kind, sequence, payload))
}

fn name(kind: u16) -> String {
    let name = match kind {
        AUDIT_GET => "AUDIT_GET",
        AUDIT_SET => "AUDIT_SET",
        super::AUDIT_ADD_RULE => "AUDIT_ADD_RULE",
        super::AUDIT_DEL_RULE => "AUDIT_DEL_RULE",
        super::AUDIT_LIST_RULES => "AUDIT_LIST_RULES",
        super::AUDIT_SET_FEATURE => "AUDIT_SET_FEATURE",
        other => return format!("request {other}"),
    };
    name.to_owned()
}
