//! System calls that no safe wrapper offers.

use std::{ffi::CStr, fs::OpenOptions, io, io::Write, os::fd::AsRawFd};

/// Writes one record to the kernel's log; before `/dev` is there nobody could read it.
pub fn kernel_log(text: &str) {
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = log.write_all(text.as_bytes());
    }
}

/// Restarts the machine.
pub fn restart() -> ! {
    let _ = rustix::system::reboot(rustix::system::RebootCommand::Restart);
    loop {
        std::thread::park();
    }
}

/// Adds a key of type `user` to this process's keyring, where the kernel's `request_key` finds it
/// (keyrings(7)).
pub fn add_user_key(description: &CStr, payload: &[u8]) -> io::Result<()> {
    const PROCESS_KEYRING: libc::c_long = -2;
    // SAFETY: both strings end in NUL, and payload is valid for its length during the call.
    let key = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            description.as_ptr(),
            payload.as_ptr(),
            payload.len(),
            PROCESS_KEYRING,
        )
    };
    if key < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A device-mapper ioctl over a buffer that starts with `struct dm_ioctl` and is as long as its
/// `data_size` says (`linux/dm-ioctl.h`).
pub fn device_mapper(
    control: &impl AsRawFd,
    request: libc::c_ulong,
    buffer: &mut [u8],
) -> io::Result<()> {
    // SAFETY: the kernel reads and writes at most data_size bytes, which the caller set to the
    // buffer's length.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), request, buffer.as_mut_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
