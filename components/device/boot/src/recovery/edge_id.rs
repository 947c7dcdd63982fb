//! The device's name, for the operator to know which key he holds.

use std::fs;

use holdfast_attestation::edge_id::EdgeId;
use holdfast_site::EdgeIdSource;

use crate::places::Places;

const UNKNOWN: &str = "unknown";

/// The Edge ID from the source that the site names, or `unknown`: a device without a name enrols
/// nowhere, and its key is not handed over.
pub fn read(places: &Places, source: &EdgeIdSource) -> String {
    let path = match source {
        EdgeIdSource::Fixed(edge_id) => return edge_id.as_str().to_owned(),
        EdgeIdSource::DmiSerial => "sys/class/dmi/id/product_serial".to_owned(),
        EdgeIdSource::Mac(interface) => format!("sys/class/net/{interface}/address"),
        EdgeIdSource::DeviceTree => "sys/firmware/devicetree/base/serial-number".to_owned(),
    };
    fs::read_to_string(places.at(path))
        .ok()
        .and_then(|text| EdgeId::parse(&text).ok())
        .map_or_else(|| UNKNOWN.to_owned(), |id| id.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_where_the_site_says() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::from_options(&[format!("--root={}", root.path().display())]).unwrap();
        let read = |source: &str| read(&places, &source.parse().unwrap());
        for (path, content) in [
            ("sys/class/dmi/id/product_serial", "SN-1\n"),
            ("sys/class/net/eth0/address", "52:54:00:12:34:56\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        assert_eq!(read("dmi-serial"), "SN-1");
        assert_eq!(read("mac:eth0"), EdgeId::parse("52:54:00:12:34:56").unwrap().as_str());
        assert_eq!(read("fixed:SN-9"), "SN-9");
        assert_eq!(read("device-tree"), UNKNOWN);
        assert_eq!(read("mac:eth1"), UNKNOWN);
    }
}
