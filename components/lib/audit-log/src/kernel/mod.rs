//! Events of the kernel's audit system: putting them together, keeping them, reading them.
//!
//! ```
//! use holdfast_audit_log::kernel::{Assembler, Limits, MessageType, Output};
//!
//! let mut assembler = Assembler::new(Limits::default());
//! let messages: &[(u16, &[u8])] = &[
//!     (1300, b"audit(1364481363.243:24287): arch=c000003e syscall=59 auid=1000 key=\"hf-exec\""),
//!     (1309, b"audit(1364481363.243:24287): argc=2 a0=\"ls\" a1=2F746D702F412042"),
//!     (1320, b"audit(1364481363.243:24287): "),
//! ];
//! for (kind, payload) in messages {
//!     assembler.push(MessageType(*kind), payload, 0);
//! }
//! let Some(Output::Event(event)) = assembler.pop() else { panic!("the event has ended") };
//! assert_eq!(event.login_uid(), Some(1000));
//! assert_eq!(event.arguments(), [&b"ls"[..], b"/tmp/A B"]);
//! ```

mod assembler;
mod classify;
mod event;
mod fields;
mod message_type;
mod prefix;
#[cfg(feature = "samples")]
pub mod sample;
mod serials;

pub use assembler::{Assembler, Limits, Output};
pub use classify::{RuleKey, classify};
pub use event::{EventBuffer, EventId, KernelEvent, Marks, Message, Messages, NotAnEvent};
pub use fields::{Field, Fields};
pub use message_type::MessageType;
pub use prefix::parse_prefix;
