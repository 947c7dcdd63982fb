//! Vendor and product ID of a device.

use core::fmt;
use core::str::FromStr;

use super::{Pattern, Value};
use crate::cursor::{Cursor, Fault};
use crate::error::Problem;

/// `idVendor` and `idProduct` of a device descriptor (USB 2.0, 9.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// Given out by the USB Implementers Forum.
    pub vendor: u16,
    /// Chosen by the vendor.
    pub product: u16,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)
    }
}

/// Which devices an `id` means: `VENDOR:PRODUCT`, `VENDOR:*` or `*:*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceIdPattern {
    parts: Parts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Parts {
    Any,
    Vendor(Hex4),
    Product(Hex4, Hex4),
}

/// Four hexadecimal digits. They are printed in the case that they were written in, as USBGuard
/// does, and compared as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Hex4 {
    value: u16,
    digits: [u8; 4],
}

impl From<u16> for Hex4 {
    fn from(value: u16) -> Self {
        let digit = |shift: u32| {
            let digit = char::from_digit(u32::from(value >> shift & 0xF), 16).unwrap_or('0');
            u8::try_from(digit).unwrap_or(b'0')
        };
        Self { value, digits: [digit(12), digit(8), digit(4), digit(0)] }
    }
}

impl fmt::Display for Hex4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl DeviceIdPattern {
    /// Every device.
    pub const ANY: Self = Self { parts: Parts::Any };

    /// Every product of a vendor.
    pub fn vendor(vendor: u16) -> Self {
        Self { parts: Parts::Vendor(vendor.into()) }
    }

    /// Whether this device is meant.
    pub fn covers(&self, id: DeviceId) -> bool {
        match &self.parts {
            Parts::Any => true,
            Parts::Vendor(vendor) => vendor.value == id.vendor,
            Parts::Product(vendor, product) => {
                vendor.value == id.vendor && product.value == id.product
            }
        }
    }
}

impl From<DeviceId> for DeviceIdPattern {
    fn from(id: DeviceId) -> Self {
        Self { parts: Parts::Product(id.vendor.into(), id.product.into()) }
    }
}

impl FromStr for DeviceIdPattern {
    type Err = crate::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        super::parse_whole(text.as_bytes())
    }
}

impl fmt::Display for DeviceIdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parts {
            Parts::Any => f.write_str("*:*"),
            Parts::Vendor(vendor) => write!(f, "{vendor}:*"),
            Parts::Product(vendor, product) => write!(f, "{vendor}:{product}"),
        }
    }
}

impl Value for DeviceIdPattern {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let start = cursor.expected("a device ID, as 1d6b:0002, 1d6b:* or *:*");
        let parts = match halves(cursor).ok_or(start)? {
            (Half::Number(vendor), Half::Number(product)) => Parts::Product(vendor, product),
            (Half::Number(vendor), Half::Any) => Parts::Vendor(vendor),
            (Half::Any, Half::Any) => Parts::Any,
            (Half::Any, Half::Number(_)) => {
                return Err(cursor.fault(Problem::ProductWithoutVendor));
            }
        };
        Ok(Self { parts })
    }
}

/// One side of the colon.
enum Half {
    Any,
    Number(Hex4),
}

fn half(cursor: &mut Cursor<'_>) -> Option<Half> {
    if cursor.eat(b'*') {
        return Some(Half::Any);
    }
    let mut left = 4;
    let digits = cursor.take_while(|byte| {
        let taken = left > 0 && byte.is_ascii_hexdigit();
        left -= i32::from(taken);
        taken
    });
    let digits: [u8; 4] = digits.try_into().ok()?;
    let value = u16::from_str_radix(core::str::from_utf8(&digits).ok()?, 16).ok()?;
    Some(Half::Number(Hex4 { value, digits }))
}

fn halves(cursor: &mut Cursor<'_>) -> Option<(Half, Half)> {
    let vendor = half(cursor)?;
    let colon = cursor.eat(b':');
    half(cursor).filter(|_| colon).map(|product| (vendor, product))
}

impl Pattern<DeviceId> for DeviceIdPattern {
    fn covers(&self, value: &DeviceId) -> bool {
        DeviceIdPattern::covers(self, *value)
    }

    fn specificity(&self) -> usize {
        match self.parts {
            Parts::Any => 0,
            Parts::Vendor(_) => 1,
            Parts::Product(..) => 2,
        }
    }
}
