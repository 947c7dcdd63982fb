//! What every daemon of the device does alike: how it logs, how it reads the files of the image, and
//! what it tells the service manager.
#![forbid(unsafe_code)]

pub mod config;
pub mod log;
pub mod manager;
