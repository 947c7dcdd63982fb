//! The hash that names a device, byte for byte USBGuard's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::descriptors::{DescriptorError, Descriptors};
use crate::value::{DeviceId, RuleString};

/// Longest string of a device: a string descriptor has 255 bytes, 2 of them its header.
const MAX_STRING: usize = 253;
/// Linux's root hubs: their `bcdDevice` is the kernel's version, which must not change the hash.
const LINUX_FOUNDATION: u16 = 0x1d6b;
const ROOT_HUBS: core::ops::RangeInclusive<u16> = 0x0001..=0x0003;
/// Where `bcdDevice` is in a device descriptor.
const BCD_DEVICE: core::ops::Range<usize> = 12..14;

/// What of a device goes into its hash besides its descriptors.
#[derive(Debug, Clone, Copy)]
pub struct DeviceStrings<'a> {
    /// `product` in sysfs, trimmed by [`trim_sysfs`]; empty if there is none.
    pub product: &'a [u8],
    /// `idVendor` and `idProduct`.
    pub id: DeviceId,
    /// `serial` in sysfs, trimmed by [`trim_sysfs`]; empty if there is none.
    pub serial: &'a [u8],
}

/// Why a device has no hash. Such a device is not to be let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Longer than any device can say it.
    #[error("{attribute} has {length} bytes, over the limit of {MAX_STRING}")]
    StringTooLong {
        /// `product` or `serial`.
        attribute: &'static str,
        /// Its bytes.
        length: usize,
    },
    /// The descriptors are malformed.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
}

/// The hash of a device: base64 of the SHA-256 of product, vendor ID, product ID and serial as
/// text, one after the other, and the bytes of the file `descriptors` in sysfs.
pub fn device_hash(
    strings: &DeviceStrings<'_>,
    descriptors: &[u8],
) -> Result<RuleString, HashError> {
    for (attribute, text) in [("product", strings.product), ("serial", strings.serial)] {
        if text.len() > MAX_STRING {
            return Err(HashError::StringTooLong { attribute, length: text.len() });
        }
    }
    let device = Descriptors::parse(descriptors)?.device;
    let mut bytes = descriptors.to_vec();
    if device.id.vendor == LINUX_FOUNDATION && ROOT_HUBS.contains(&device.id.product) {
        bytes.get_mut(BCD_DEVICE).unwrap_or_default().fill(0);
    }
    let DeviceId { vendor, product } = strings.id;
    let hash = Sha256::new()
        .chain_update(strings.product)
        .chain_update(format!("{vendor:04x}{product:04x}"))
        .chain_update(strings.serial)
        .chain_update(bytes);
    Ok(STANDARD.encode(hash.finalize()).into())
}

/// The `parent-hash` of a controller, which has no USB device above it: of the path of the folder
/// above in sysfs, without `/sys`: `/devices/pci0000:00/0000:00:14.0`.
pub fn controller_parent_hash(parent_path: &str) -> RuleString {
    STANDARD.encode(Sha256::digest(parent_path)).into()
}

/// The text of a file in sysfs without what ends it: NUL, line breaks, tab and backspace. Blanks
/// stay: they may be of the device.
pub fn trim_sysfs(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, 0 | b'\n' | b'\r' | b'\t' | 8));
    text.get(..end.map_or(0, |last| last + 1)).unwrap_or_default()
}
