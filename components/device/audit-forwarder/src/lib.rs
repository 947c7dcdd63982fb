//! Keeper of the device's audit log: what the kernel and our daemons report is kept in order, made
//! durable, signed and brought to the cloud.

pub mod coalesce;
pub mod engine;
pub mod netlink;
pub mod now;
pub mod rules;
pub mod spool;
