//! What a TPM says of its make and firmware.

use tss_esapi::constants::PropertyTag;

use crate::{Tpm, TpmError};

/// Make and firmware of a TPM (TCG PC Client Platform TPM Profile; TPM 2.0 Part 2, table
/// `TPM2_PT`): nothing of it is proven, a quote proves more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// The vendor's registered id, up to four ASCII characters (TCG TPM Vendor ID Registry).
    pub manufacturer: String,
    /// What the vendor calls it, up to sixteen ASCII characters.
    pub vendor: String,
    /// Firmware version: `TPM2_PT_FIRMWARE_VERSION_1` and `_2` as four decimal numbers of 16 bits.
    pub firmware: String,
}

impl Tpm {
    /// Asks for make and firmware.
    pub fn properties(&self) -> Result<Properties, TpmError> {
        use PropertyTag::{
            FirmwareVersion1, FirmwareVersion2, Manufacturer, VendorString1, VendorString2,
            VendorString3, VendorString4,
        };
        let vendor = [VendorString1, VendorString2, VendorString3, VendorString4];
        Ok(Properties {
            manufacturer: characters(&[self.property(Manufacturer)?]),
            vendor: characters(&self.all(vendor)?),
            firmware: version(self.all([FirmwareVersion1, FirmwareVersion2])?),
        })
    }

    fn all<const N: usize>(&self, tags: [PropertyTag; N]) -> Result<[u32; N], TpmError> {
        let mut values = [0; N];
        for (value, tag) in values.iter_mut().zip(tags) {
            *value = self.property(tag)?;
        }
        Ok(values)
    }

    fn property(&self, tag: PropertyTag) -> Result<u32, TpmError> {
        let value = self.run("GetCapability", "properties", |tpm| tpm.get_tpm_property(tag))?;
        Ok(value.unwrap_or(0))
    }
}

/// Four characters in each value, high byte first; what is no printable ASCII is left out.
fn characters(values: &[u32]) -> String {
    let bytes = values.iter().flat_map(|value| value.to_be_bytes());
    let text: String =
        bytes.filter(|b| b.is_ascii_graphic() || *b == b' ').map(char::from).collect();
    text.trim().to_owned()
}

fn version([high, low]: [u32; 2]) -> String {
    format!("{}.{}.{}.{}", high >> 16, high & 0xffff, low >> 16, low & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_text() {
        assert_eq!(characters(&[0x4946_5800]), "IFX");
        assert_eq!(characters(&[0x534c_4239, 0x3637_3200, 0, 0]), "SLB9672");
        assert_eq!(characters(&[0x5357_2020, 0x2054_504d]), "SW   TPM");
        assert_eq!(characters(&[0, 0xffff_ffff]), "");
        // An SLB 9672 with firmware 15.22.16832.2, as its vendor writes it.
        assert_eq!(version([0x000f_0016, 0x41c0_0002]), "15.22.16832.2");
    }
}
