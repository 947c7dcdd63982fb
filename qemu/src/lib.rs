//! A Holdfast device as a value: QEMU, software TPM, disks, firmware and power.
//!
//! A [`Device`] is a folder with a disk, a TPM and firmware variables in it. [`Device::power_on`]
//! turns it into a [`Running`] device with a console and a QMP connection, and
//! [`Running::shut_down`], [`Running::power_cut`] and friends turn it back. While a device runs, its
//! disk is served by the [`nbd`] server of this crate, which knows what the guest has flushed.
//!
//! Everything is plain Rust and threads: a machine needs QEMU, OVMF and swtpm (see [`Toolchain`]),
//! but no library to build this crate.
#![forbid(unsafe_code)]

mod console;
mod device;
mod disk;
mod error;
mod esp;
mod firmware;
mod gpt;
mod machine;
pub mod nbd;
mod power;
mod process;
mod qmp;
mod rng;
mod swtpm;
mod terminal;
#[cfg(test)]
mod testing;
mod toolchain;
mod usb;

pub use console::{Console, Line};
pub use device::{Device, DeviceBuilder, PowerOn, Running, Usage};
pub use disk::Disk;
pub use error::Error;
pub use esp::Esp;
pub use firmware::{KeyOwner, SecureBootKeys, enroll_keys};
pub use gpt::{Gpt, NewPartition, Partition, types as partition_types};
pub use machine::{
    Accelerator, DriveSource, ExtraDisk, HostForward, Machine, Network, SmbiosSystem, TpmInterface,
    Watchdog,
};
pub use power::{CutMoment, PowerCutPlan, PowerCutReport};
pub use process::{CpuTime, Process};
pub use qmp::{Event, Qmp};
pub use rng::Rng;
pub use swtpm::{EkInfo, LocalCa, Swtpm, SwtpmProcess};
pub use terminal::{Detached, Terminal, Typed};
pub use toolchain::Toolchain;
pub use usb::UsbDevice;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
