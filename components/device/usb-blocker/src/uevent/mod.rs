//! Events of the kernel's device model (Linux, `lib/kobject_uevent.c`).

mod message;
mod socket;

pub use message::Uevent;
pub use socket::{Received, UeventSocket};
