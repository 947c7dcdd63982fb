//! The real daemon against the real connector, with a software TPM and a message bus of its own.

// Helpers outside of #[test] functions fail tests by panicking too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod audit;
mod clocks;
mod cloud;
mod device;
mod foreign;
mod forwarder;
mod interruption;
mod killed;
mod lifecycle;
mod pairing;
#[path = "../../../../lib/ipc/tests/bus/private_bus.rs"]
mod private_bus;
mod recovery;
mod refusals;
mod roots;
mod sealing;
mod tokens;
mod transfer;
mod usb_policy;
