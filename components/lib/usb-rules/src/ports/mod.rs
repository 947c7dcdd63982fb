//! Ports by their place in the machine, and the list of those that are in use.

mod list;
mod name;

pub use list::{ListError, MAX_LIST_BYTES, PortList, PortUse};
pub use name::PortName;
