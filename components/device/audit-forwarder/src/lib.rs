//! Keeper of the device's audit log: what the kernel and our daemons report is kept in order, made
//! durable, signed and brought to the cloud.
//!
//! ```text
//!  kernel ──▶ reader ──▶ ┌─────────┐
//!                        │ keeper  │──▶ spool (disk) ──▶ uploader ──▶ connector
//!  daemons ─▶ service ─▶ └─────────┘                        │
//!                          ▲     └──▶ signer ──▶ TPM        │
//!                          └──────────── receipts ──────────┘
//! ```
//!
//! Four threads: the reader never waits for a disk; the keeper alone writes; the bus is served by a
//! third; the upload waits for network and TPM.
#![forbid(unsafe_code)]

pub mod boot_facts;
pub mod coalesce;
pub mod config;
pub mod engine;
pub mod keeper;
pub mod kernel;
pub mod netlink;
pub mod new_log;
pub mod now;
pub mod options;
pub mod rules;
pub mod run;
pub mod service;
pub mod signer;
pub mod spool;
pub mod start;
pub mod status;
pub mod upload;
