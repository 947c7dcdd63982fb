//! How the daemons of a device talk: D-Bus interfaces and their proxies, who a caller is, what he
//! may do, and the audit record of what he did.
//!
//! A daemon makes one [`Guard`] and passes every call through it:
//! - [`Guard::authorize`] for reading,
//! - [`Guard::answer`] for a call whose only effect is its answer (recorded before the answer
//!   leaves),
//! - [`Guard::change`] for a call that changes state (recorded before it starts).
//!
//! If the record cannot be written the call is refused.
#![forbid(unsafe_code)]

pub mod allow_list;
mod audience;
pub mod audit;
pub mod audit1;
pub mod bus;
pub mod caller;
pub mod error;
pub mod guard;
pub mod identity;
mod name;
pub mod process;
pub mod role;
pub mod usb;

pub use allow_list::IdentityPolicy;
pub use audience::Audience;
pub use audit::{AuditSink, JournalSink};
pub use bus::{Bus, BusError};
pub use caller::{Caller, Unit};
pub use error::{CallError, ErrorKind};
pub use guard::{Call, Guard};
pub use name::Name;
pub use role::{Role, RoleGroups};
