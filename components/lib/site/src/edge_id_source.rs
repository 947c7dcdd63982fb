//! Where a device reads its Edge ID.

use core::fmt;
use core::str::FromStr;

use holdfast_attestation::edge_id::EdgeId;

/// Where a device reads its Edge ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeIdSource {
    /// The serial number in the firmware's SMBIOS tables.
    DmiSerial,
    /// The hardware address of the network interface with this name.
    Mac(String),
    /// The serial number in the device tree.
    DeviceTree,
    /// This text, for a site of one device.
    Fixed(EdgeId),
}

/// `IFNAMSIZ` without the terminating NUL (linux/if.h).
const MAX_INTERFACE_NAME: usize = 15;

impl FromStr for EdgeIdSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "dmi-serial" => Ok(Self::DmiSerial),
            None if text == "device-tree" => Ok(Self::DeviceTree),
            Some(("mac", interface)) => {
                if is_interface_name(interface) {
                    Ok(Self::Mac(interface.to_owned()))
                } else {
                    Err(format!("{interface:?} is no name of a network interface"))
                }
            }
            Some(("fixed", name)) => match EdgeId::parse(name) {
                Ok(edge_id) => Ok(Self::Fixed(edge_id)),
                Err(error) => Err(error.to_string()),
            },
            _ => Err(format!(
                "{text:?} is no known source; expected \"dmi-serial\", \"device-tree\", \
                 \"mac:<interface>\" or \"fixed:<text>\""
            )),
        }
    }
}

/// What the kernel takes as a name (`dev_valid_name` in net/core/dev.c), in ASCII.
fn is_interface_name(name: &str) -> bool {
    (1..=MAX_INTERFACE_NAME).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
}

impl fmt::Display for EdgeIdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DmiSerial => f.write_str("dmi-serial"),
            Self::Mac(interface) => write!(f, "mac:{interface}"),
            Self::DeviceTree => f.write_str("device-tree"),
            Self::Fixed(edge_id) => write!(f, "fixed:{edge_id}"),
        }
    }
}
