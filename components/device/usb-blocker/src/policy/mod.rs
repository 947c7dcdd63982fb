//! Policies of the cloud: who this device is, by whom it lets itself be told, and the one that it
//! was told last.

mod identity;
mod kept;
#[cfg(test)]
pub(crate) mod samples;

pub use identity::{DeviceIdentity, IdentityError};
pub use kept::KeptPolicy;
