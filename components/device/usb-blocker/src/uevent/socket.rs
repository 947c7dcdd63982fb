//! The socket that the kernel sends them to.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::RcvBuf;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt,
    socket,
};

use super::Uevent;

/// Multicast group of the kernel; udev's is 2.
const KERNEL_GROUP: u32 = 1;
/// `UEVENT_BUFFER_SIZE` and the header fit in.
const SLOT: usize = 8192;
/// As much as an unprivileged process may ask for is given; what does not fit is a rescan.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// What was read until nothing was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Messages about USB.
    pub usb: usize,
    /// The kernel dropped messages: everything has to be looked at.
    pub overflowed: bool,
}

impl Received {
    /// Whether the devices have to be looked at.
    pub const fn is_news(self) -> bool {
        self.usb > 0 || self.overflowed
    }
}

/// Receives the kernel's uevents.
#[derive(Debug)]
pub struct UeventSocket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl UeventSocket {
    /// Opens it; events from now on are kept.
    pub fn open() -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        if let Err(error) = setsockopt(&fd, RcvBuf, &RECEIVE_BUFFER) {
            tracing::warn!("the uevent socket keeps its small buffer: {error}");
        }
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
        Ok(Self { fd, buffer: vec![0; SLOT] })
    }

    /// Reads what is there without waiting.
    pub fn receive(&mut self) -> io::Result<Received> {
        let mut received = Received::default();
        loop {
            match recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), &mut self.buffer) {
                Ok((length, from)) => {
                    // Any process may send to the group of a network namespace that it rules.
                    if from.is_none_or(|from| from.pid() != 0) {
                        continue;
                    }
                    let message = self.buffer.get(..length).unwrap_or_default();
                    // What cannot be read may be about anything.
                    let is_usb = Uevent::parse(message).is_none_or(|event| event.is_about_usb());
                    received.usb += usize::from(is_usb);
                }
                Err(Errno::EAGAIN) => return Ok(received),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => received.overflowed = true,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
