//! The connector over real TLS on loopback: devices in software for faults of the protocol, and a
//! software TPM for the whole path.
#![allow(clippy::unwrap_used, clippy::expect_used)] // also in the helpers of tests

mod alerts;
mod authority;
mod bad_input;
mod boot;
mod command_line;
mod device_api;
mod device_audit;
mod enrolment;
mod groups;
mod import;
mod killed;
mod listener;
mod management;
mod numbered_checks;
mod openapi;
mod plain_est;
mod profile;
mod recovery;
mod registration;
mod renewal;
mod store;
mod support;
mod swtpm;
mod usb_commands;
mod usb_inventory;
mod usb_policy;
