//! Keeper of the USB ports: ports that nobody named are off, and what is plugged into the others is
//! let in by rules alone.
//!
//! [`blocker`] decides and acts, on a [`sysfs`] that tests replace; [`worker`] is the one thread that
//! owns it and wakes it on events of the kernel, on the clock and on calls.

pub mod blocker;
pub mod clock;
pub mod config;
pub mod confine;
pub mod device_name;
pub mod file;
pub mod lockdown;
pub mod options;
pub mod policy;
pub mod records;
pub mod rules;
pub mod run;
pub mod service;
pub mod sysfs;
pub mod uevent;
pub mod worker;
