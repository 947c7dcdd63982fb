//! A network block device server that knows what its guest has flushed.
//!
//! The guest's disk is a [`VolatileDisk`]: a store plus the writes since the last flush, which a
//! power cut drops in part. Killing QEMU alone would prove nothing about flushes, since the host's
//! page cache keeps every write. Protocol: the NBD project's `doc/proto.md`, fixed newstyle
//! negotiation with simple replies.

mod handshake;
mod protocol;
mod recording;
mod replay;
mod server;
mod store;
mod transmission;
mod volatile;

pub use recording::{Event, EventKind, Recorder, Recording};
pub use replay::Replay;
pub use server::Server;
pub use store::{FileStore, OverlayStore, Store};
pub use volatile::{Counters, CutReport, Durability, VolatileDisk};

/// The unit that a disk writes as a whole even when its power fails, in bytes.
pub const SECTOR: u64 = 512;
