//! Who may use the management API: keys and roles.

mod key;
mod role;

pub use key::{ApiKey, PresentedKey, PresentedKeyError};
pub use role::{Role, RoleError};
