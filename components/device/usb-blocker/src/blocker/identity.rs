//! Reading what a device says of itself.

use std::io;

use holdfast_usb_rules::{
    Descriptors, Device, DeviceId, DeviceStrings, MAX_DESCRIPTOR_BYTES, RuleString,
    controller_parent_hash, device_hash, trim_sysfs,
};

use super::entry::{Identity, Known};
use crate::device_name::DeviceName;
use crate::sysfs::{Opened, Sysfs};

/// Class of hubs (USB, "USB Class Codes").
const HUB: u8 = 0x09;
/// One page, as of every attribute but the descriptors.
const MAX_TEXT: usize = 4096;

/// Where a device is.
#[derive(Clone, Debug)]
pub(super) struct Whereabouts<'a> {
    pub name: &'a DeviceName,
    /// Path in sysfs, without its mount point.
    pub path: &'a str,
    /// Hash of the hub that it is plugged into; none of a controller.
    pub parent_hash: Option<&'a RuleString>,
    /// What the port is said to be for, where that is known.
    pub connect_type: Option<&'a [u8]>,
    /// The kernel may still put more there.
    pub is_new: bool,
}

/// Reads it; an error says that the device has gone, or that the bus fails.
pub(super) fn read<S: Sysfs>(
    sysfs: &S,
    folder: &S::Folder,
    place: &Whereabouts<'_>,
) -> io::Result<Identity> {
    let descriptors = sysfs.read(folder, "descriptors", MAX_DESCRIPTOR_BYTES + 1)?;
    let text = |attribute| -> io::Result<Vec<u8>> {
        let text = sysfs.read(folder, attribute, MAX_TEXT)?;
        Ok(trim_sysfs(&text).to_vec())
    };
    let (vendor, product_id) = (text("idVendor")?, text("idProduct")?);
    let (name, serial) = (optional(text("product"))?, optional(text("serial"))?);
    let connect_type = match place.connect_type {
        Some(known) => known.to_vec(),
        None if place.name.is_controller() => Vec::new(),
        None => match text("port/connect_type") {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if place.is_new {
                    return Ok(Identity::Incomplete);
                }
                Vec::new()
            }
            Err(error) => return Err(error),
        },
    };
    let parent_hash = match place.parent_hash {
        Some(hash) => hash.clone(),
        None => controller_parent_hash(above(place.path)),
    };

    let parsed = match Descriptors::parse(&descriptors) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(Identity::Malformed(format!("its descriptors: {error}"))),
    };
    let id = match (hexadecimal(&vendor), hexadecimal(&product_id)) {
        (Some(vendor), Some(product)) => DeviceId { vendor, product },
        _ => return Ok(Identity::Malformed("its vendor or product ID is no number".to_owned())),
    };
    if id != parsed.device.id {
        let said = parsed.device.id;
        return Ok(Identity::Malformed(format!("it is {id} and its descriptors say {said}")));
    }
    let strings = DeviceStrings { product: &name, id, serial: &serial };
    let hash = match device_hash(&strings, &descriptors) {
        Ok(hash) => hash,
        Err(error) => return Ok(Identity::Malformed(error.to_string())),
    };
    let interfaces = parsed.interface_types();
    let is_hub = parsed.device.kind.class == HUB || interfaces.iter().any(|kind| kind.class == HUB);
    let device = Device {
        id,
        serial: serial.into(),
        name: name.into(),
        hash,
        parent_hash,
        via_port: place.name.to_string().into(),
        interfaces,
        connect_type: connect_type.into(),
    };
    Ok(Identity::Known(Box::new(Known { device, interfaces: parsed.interfaces(), is_hub })))
}

/// The controller that a root hub is of: its place in the machine.
pub(super) fn controller_place<F>(opened: &Opened<F>) -> &str {
    above(&opened.path).trim_start_matches("/devices/")
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

/// A device need not have the attribute.
fn optional(text: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match text {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn hexadecimal(text: &[u8]) -> Option<u16> {
    let text = core::str::from_utf8(text).ok().filter(|text| text.len() == 4)?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u16::from_str_radix(text, 16).ok().filter(|_| is_plain)
}
