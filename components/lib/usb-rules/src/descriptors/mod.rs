//! The descriptors that a device sends about itself: the file `descriptors` in sysfs, which is the
//! device descriptor and each configuration with all that belongs to it (USB 2.0, 9.6; Linux,
//! Documentation/ABI/stable/sysfs-bus-usb).

mod error;
mod walk;

use std::collections::BTreeMap;

pub use error::DescriptorError;

use crate::interface_policy::InterfacePlace;
use crate::value::{DeviceId, InterfaceType};
use walk::{Raw, Walk};

/// Most bytes that are read. The kernel takes 8 configurations, each of at most 64 KiB; real
/// devices have a few KiB.
pub const MAX_DESCRIPTOR_BYTES: usize = 64 * 1024;

const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;

/// What is read from the descriptors of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptors {
    /// The device itself.
    pub device: DeviceDescriptor,
    /// Its configurations in their order.
    pub configurations: Vec<Configuration>,
}

/// Fields of the device descriptor (USB 2.0, table 9-8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDescriptor {
    /// `bcdUSB`, as 0x0200.
    pub usb_version: u16,
    /// `bDeviceClass`, `bDeviceSubClass`, `bDeviceProtocol`; all zero if the interfaces say it.
    pub kind: InterfaceType,
    /// `idVendor` and `idProduct`.
    pub id: DeviceId,
    /// `bcdDevice`, the vendor's version.
    pub device_version: u16,
}

/// A configuration (USB 2.0, table 9-10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// `bConfigurationValue`.
    pub value: u8,
    /// Its interface descriptors in their order.
    pub interfaces: Vec<Interface>,
}

/// An interface descriptor: one alternate setting of an interface (USB 2.0, table 9-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// `bInterfaceNumber`.
    pub number: u8,
    /// `bAlternateSetting`.
    pub alternate: u8,
    /// Class, subclass, protocol.
    pub kind: InterfaceType,
}

impl Descriptors {
    /// Reads the bytes of the file `descriptors`.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let mut walk = Walk::new(bytes)?;
        let first = walk.next().ok_or(DescriptorError::NoDevice)??;
        let device = match first.kind {
            DEVICE => device(&first)?,
            _ => return Err(DescriptorError::NoDevice),
        };
        let mut configurations: Vec<Configuration> = Vec::new();
        for raw in walk {
            let raw = raw?;
            let offset = raw.offset;
            match raw.kind {
                DEVICE => return Err(DescriptorError::SecondDevice { offset }),
                CONFIGURATION => configurations.push(configuration(&raw)?),
                INTERFACE => {
                    let interface = interface(&raw)?;
                    let (kind, parent) = ("interface", "configuration");
                    let orphan = DescriptorError::Orphan { offset, kind, parent };
                    configurations.last_mut().ok_or(orphan)?.interfaces.push(interface);
                }
                ENDPOINT => {
                    check_endpoint(&raw)?;
                    let interfaces = configurations.last().map(|last| last.interfaces.len());
                    if interfaces.unwrap_or(0) == 0 {
                        let (kind, parent) = ("endpoint", "interface");
                        return Err(DescriptorError::Orphan { offset, kind, parent });
                    }
                }
                _ => {}
            }
        }
        Ok(Self { device, configurations })
    }

    /// Types of all interface descriptors in their order, for `with-interface`.
    pub fn interface_types(&self) -> Vec<InterfaceType> {
        let all = self.configurations.iter().flat_map(|configuration| &configuration.interfaces);
        all.map(|interface| interface.kind).collect()
    }

    /// Each interface with the types of its alternate settings, for
    /// [`InterfacePolicy::permits`](crate::InterfacePolicy::permits).
    pub fn interfaces(&self) -> BTreeMap<InterfacePlace, Vec<InterfaceType>> {
        let mut interfaces: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for configuration in &self.configurations {
            for Interface { number, kind, .. } in &configuration.interfaces {
                let place = InterfacePlace { configuration: configuration.value, index: *number };
                interfaces.entry(place).or_default().push(*kind);
            }
        }
        interfaces
    }
}

fn device(raw: &Raw<'_>) -> Result<DeviceDescriptor, DescriptorError> {
    let &[_, _, usb0, usb1, class, subclass, protocol, _, v0, v1, p0, p1, d0, d1, _, _, _, _] =
        raw.bytes
    else {
        return Err(raw.wrong_length("device", "18"));
    };
    Ok(DeviceDescriptor {
        usb_version: u16::from_le_bytes([usb0, usb1]),
        kind: InterfaceType { class, subclass, protocol },
        id: DeviceId {
            vendor: u16::from_le_bytes([v0, v1]),
            product: u16::from_le_bytes([p0, p1]),
        },
        device_version: u16::from_le_bytes([d0, d1]),
    })
}

fn configuration(raw: &Raw<'_>) -> Result<Configuration, DescriptorError> {
    match raw.bytes {
        &[_, _, _, _, _, value, _, _, _] => Ok(Configuration { value, interfaces: Vec::new() }),
        _ => Err(raw.wrong_length("configuration", "9")),
    }
}

fn interface(raw: &Raw<'_>) -> Result<Interface, DescriptorError> {
    match raw.bytes {
        &[_, _, number, alternate, _, class, subclass, protocol, _] => {
            Ok(Interface { number, alternate, kind: InterfaceType { class, subclass, protocol } })
        }
        _ => Err(raw.wrong_length("interface", "9")),
    }
}

/// Nothing of an endpoint is of interest; one of another length would shift what follows.
fn check_endpoint(raw: &Raw<'_>) -> Result<(), DescriptorError> {
    match raw.bytes.len() {
        // Audio 1.0 has bRefresh and bSynchAddress besides (4.6.1.1).
        7 | 9 => Ok(()),
        _ => Err(raw.wrong_length("endpoint", "7 or 9")),
    }
}

impl Raw<'_> {
    fn wrong_length(&self, kind: &'static str, expected: &'static str) -> DescriptorError {
        let length = self.bytes.first().copied().unwrap_or(0);
        DescriptorError::Length { offset: self.offset, kind, length, expected }
    }
}
