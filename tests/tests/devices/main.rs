//! What must hold on booted devices. Release devices are reached as their users reach them: by
//! network, console, disk and TPM.
//!
//! Each test works in a folder of its own, which stays when the test fails. Boots that several tests
//! look at happen once per run; see [`support::stage`].

mod audit;
mod debug_image;
mod first_boot;
mod foreign_var;
mod guest_tls;
mod other_tpm;
mod power_cuts;
mod programs;
mod reboot;
mod recovery;
mod refusals;
mod support;
mod tampering;
mod usb;
mod write_log;
