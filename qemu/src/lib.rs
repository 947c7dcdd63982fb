//! A Holdfast device as a value: QEMU, software TPM, disks, firmware and power.
