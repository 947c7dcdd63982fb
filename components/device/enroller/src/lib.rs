//! First-boot enroller and keeper of the device's identity.

#![forbid(unsafe_code)]

pub mod agent;
pub mod boot_report;
pub mod certs_only;
pub mod check;
pub mod csr;
pub mod device_api;
pub mod disk;
pub mod edge_id;
pub mod est;
pub mod keyring;
pub mod milestone;
pub mod options;
pub mod order;
pub mod pairing;
pub mod recorder;
pub mod recovery;
pub mod refusal;
pub mod roots;
pub mod run;
pub mod service;
pub mod state;
pub mod store;
pub mod tpm_key;
pub mod tpm_owner;
pub mod transfer;
pub mod usb_policy;

pub use holdfast_connection::{certificate, clock, peer, retry, tls, trust};
