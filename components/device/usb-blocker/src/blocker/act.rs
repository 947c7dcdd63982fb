//! The writes that let a device in or keep it out (Linux, Documentation/usb/authorization.rst).

use std::io;

use holdfast_usb_rules::{InterfacePlace, InterfacePolicy};

use super::entry::{Entry, Known};
use crate::sysfs::{Sysfs, is_gone};

const ALLOWED: &str = "1";
const DENIED: &str = "0";
/// Whether a device may sleep (Linux, Documentation/driver-api/usb/power-management.rst).
const POWER: &str = "power/control";
const FREE_TO_SLEEP: &str = "auto";
/// One word and its line break.
const MAX_WORD: usize = 16;
/// Of a controller: whether interfaces are authorised as they come.
const INTERFACE_DEFAULT: &str = "interface_authorized_default";

/// Whether the kernel lets a device be used now.
pub(super) fn is_authorized<S: Sysfs>(sysfs: &S, folder: &S::Folder) -> io::Result<bool> {
    Ok(sysfs.read(folder, "authorized", 1)? == ALLOWED.as_bytes())
}

/// Makes a controller one whose devices are not authorised as they come.
pub(super) fn adopt<S: Sysfs>(sysfs: &S, controller: &S::Folder) -> io::Result<()> {
    sysfs.write(controller, "authorized_default", DENIED)?;
    // A daemon that died within `authorize_closed` left it so.
    sysfs.write(controller, INTERFACE_DEFAULT, ALLOWED)
}

/// Lets a device in with all its interfaces.
pub(super) fn authorize<S: Sysfs>(sysfs: &S, folder: &S::Folder) -> io::Result<()> {
    sysfs.write(folder, "authorized", ALLOWED)
}

/// Lets a device in without any of its interfaces.
pub(super) fn authorize_closed<S: Sysfs>(
    sysfs: &S,
    controller: &S::Folder,
    folder: &S::Folder,
) -> io::Result<()> {
    sysfs.write(controller, INTERFACE_DEFAULT, DENIED)?;
    let done = authorize(sysfs, folder);
    sysfs.write(controller, INTERFACE_DEFAULT, ALLOWED)?;
    done
}

/// Keeps a device out: its drivers let go of it.
pub(super) fn deauthorize<S: Sysfs>(sysfs: &S, folder: &S::Folder) -> io::Result<()> {
    sysfs.write(folder, "authorized", DENIED)
}

/// Keeps a device that is out awake: that one which sleeps is pulled out is not noticed everywhere, and
/// hubs sleep from the time that they were let in. Whether it was free to sleep.
pub(super) fn keep_awake<S: Sysfs>(sysfs: &S, folder: &S::Folder) -> io::Result<bool> {
    let is_free = sysfs.read(folder, POWER, MAX_WORD)?.starts_with(FREE_TO_SLEEP.as_bytes());
    if is_free {
        sysfs.write(folder, POWER, "on")?;
    }
    Ok(is_free)
}

/// Frees it to sleep again.
pub(super) fn let_sleep<S: Sysfs>(sysfs: &S, folder: &S::Folder) -> io::Result<()> {
    sysfs.write(folder, POWER, FREE_TO_SLEEP)
}

/// Takes a device away, as if it were pulled out.
pub(super) fn remove<S: Sysfs>(sysfs: &S, folder: &S::Folder) -> io::Result<()> {
    sysfs.write(folder, "remove", "1")
}

/// Authorises the interfaces that a policy permits, and no other; all of them without one.
pub(super) fn align_interfaces<S: Sysfs>(
    sysfs: &S,
    entry: &Entry<S::Folder>,
    known: &Known,
    policy: Option<&InterfacePolicy>,
) -> io::Result<()> {
    for (name, place) in interfaces(sysfs, entry)? {
        let settings = known.interfaces.get(&place).map(Vec::as_slice).unwrap_or_default();
        let permitted = policy.is_none_or(|policy| policy.permits(place, settings));
        let attribute = format!("{name}/authorized");
        let aligned = (|| {
            let is = sysfs.read(&entry.folder, &attribute, 1)? == ALLOWED.as_bytes();
            if is != permitted {
                let value = if permitted { ALLOWED } else { DENIED };
                sysfs.write(&entry.folder, &attribute, value)?;
            }
            if !is && permitted {
                sysfs.probe(&name)?;
            }
            Ok(())
        })();
        match aligned {
            // The configuration was changed meanwhile.
            Err(error) if is_gone(&error) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The interfaces of the configuration in use, as in `1-2:1.0`.
fn interfaces<S: Sysfs>(
    sysfs: &S,
    entry: &Entry<S::Folder>,
) -> io::Result<Vec<(String, InterfacePlace)>> {
    let start = format!("{}:", entry.name);
    let place = |name: &str| {
        let (configuration, index) = name.strip_prefix(&start)?.split_once('.')?;
        Some(InterfacePlace {
            configuration: configuration.parse().ok()?,
            index: index.parse().ok()?,
        })
    };
    let names = sysfs.list(&entry.folder, "")?;
    Ok(names.into_iter().filter_map(|name| place(&name).map(|place| (name, place))).collect())
}
