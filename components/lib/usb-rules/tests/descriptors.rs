//! Descriptors and the device's hash.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

mod common;

use common::interface;
use holdfast_usb_rules::{
    Descriptors, DeviceId, DeviceStrings, HashError, controller_parent_hash, device_hash,
    trim_sysfs,
};
use proptest::prelude::*;

/// What Linux says of the root hub of every USB 2.0 controller; `bcdDevice` is the kernel's version.
const ROOT_HUB: &str = concat!(
    "1201000209000140",
    "6b1d0200",
    "1206",
    "03020101", // device, kernel 6.12
    "0902190001 0100e000",
    "090400000109000000",
    "0705810304000c",
);
/// A keyboard with a drive behind it, whose drive has an alternate setting (UAS).
const COMPOSITE: &str = concat!(
    "120100020000004081078155000101020301",
    "0902400002 0100e032",
    "090400000103010100",
    "0921110100013f00",
    "00", // class descriptor: HID
    "0705810308000a",
    "090401000208065001",
    "07058202000200",
    "07050302000200",
    "090401010208066201",
    "07058202000200",
);

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

#[test]
fn interfaces_are_read_in_their_order() {
    let descriptors = Descriptors::parse(&bytes(COMPOSITE)).unwrap();
    assert_eq!(descriptors.device.id.to_string(), "0781:5581");
    assert_eq!((descriptors.device.usb_version, descriptors.device.device_version), (0x200, 0x100));
    let kinds = ["03:01:01", "08:06:50", "08:06:62"].map(interface);
    assert_eq!(descriptors.interface_types(), kinds);
    let [configuration] = descriptors.configurations.as_slice() else { panic!("not one") };
    assert_eq!(configuration.value, 1);
    let places: Vec<_> = configuration.interfaces.iter().map(|i| (i.number, i.alternate)).collect();
    assert_eq!(places, [(0, 0), (1, 0), (1, 1)]);

    let settings: Vec<_> =
        descriptors.interfaces().into_iter().map(|(place, kinds)| (place.index, kinds)).collect();
    assert_eq!(settings, [(0, kinds[..1].to_vec()), (1, kinds[1..].to_vec())]);
}

#[test]
fn malformed_descriptors_say_where() {
    let device = "120100020000004081078155000101020301";
    let cases = [
        (String::new(), "do not start with a device descriptor"),
        ("0902190001 0100e000".into(), "do not start with a device descriptor"),
        ("12".into(), "byte 0: a descriptor of 2 bytes is cut off, 1 are left"),
        (device[..34].into(), "byte 0: a descriptor of 18 bytes is cut off, 17 are left"),
        ("0801000200000040".into(), "byte 0: a device descriptor of 8 bytes; expected 18"),
        (format!("{device}00"), "byte 18: a descriptor of 2 bytes is cut off, 1 are left"),
        (format!("{device}0000"), "byte 18: a malformed descriptor of 0 bytes; expected 2 or more"),
        (format!("{device}0102"), "byte 18: a malformed descriptor of 1 bytes; expected 2 or more"),
        (format!("{device}{device}"), "byte 18: a second device descriptor"),
        (format!("{device}0802190001 0100e0"), "byte 18: a configuration descriptor of 8 bytes"),
        (
            format!("{device}090400000109000000"),
            "byte 18: interface descriptor without configuration",
        ),
        (
            format!("{device}0902190001 0100e0000705810304000c"),
            "byte 27: endpoint descriptor without interface descriptor before it",
        ),
        (
            format!("{device}0902190001 0100e00009040000010900000006058103 0400"),
            "byte 36: a endpoint descriptor of 6 bytes; expected 7 or 9",
        ),
        ("0e".repeat(65537), "have 65537 bytes, over the limit of 65536"),
    ];
    for (text, message) in cases {
        let error = Descriptors::parse(&bytes(&text)).expect_err(&text).to_string();
        assert!(error.contains(message), "{error}, not {message}");
    }
}

#[test]
fn every_cut_is_an_error_or_a_whole_number_of_descriptors() {
    let whole = bytes(COMPOSITE);
    let ends: Vec<_> = {
        let mut ends = vec![];
        let mut end = 0;
        while end < whole.len() {
            end += usize::from(whole[end]);
            ends.push(end);
        }
        ends
    };
    for length in 0..=whole.len() {
        let good = Descriptors::parse(&whole[..length]).is_ok();
        assert_eq!(good, ends.contains(&length), "{length}");
    }
}

#[test]
fn hashes_are_usbguards() {
    let strings = DeviceStrings {
        product: b"xHCI Host Controller",
        id: DeviceId { vendor: 0x1d6b, product: 0x0002 },
        serial: b"0000:00:14.0",
    };
    // Seen on machines of several reporters with USBGuard, whatever kernel they ran.
    let expected = "jEP/6WzviqdJ5VSeTUY8PatCNBKeaREvo2OqdplND/o=";
    for kernel in ["1206", "1504"] {
        let descriptors = bytes(&ROOT_HUB.replacen("1206", kernel, 1));
        let hash = device_hash(&strings, &descriptors).unwrap();
        assert_eq!(hash.to_string(), format!("\"{expected}\""), "{kernel}");
    }
}

#[test]
fn every_part_of_a_device_changes_its_hash() {
    let id = DeviceId { vendor: 0x0781, product: 0x5581 };
    let strings = DeviceStrings { product: b"Ultra", id, serial: b"4C53" };
    let descriptors = bytes(COMPOSITE);
    let hash = device_hash(&strings, &descriptors).unwrap();
    let others = [
        DeviceStrings { product: b"Ultra ", ..strings },
        DeviceStrings { id: DeviceId { product: 0x5582, ..id }, ..strings },
        DeviceStrings { serial: b"", ..strings },
    ];
    for other in others {
        assert_ne!(device_hash(&other, &descriptors).unwrap(), hash, "{other:?}");
    }
    // Not a root hub: here bcdDevice is the device's own.
    let mut newer = descriptors.clone();
    newer[12] ^= 1;
    assert_ne!(device_hash(&strings, &newer).unwrap(), hash);
}

#[test]
fn devices_without_a_sound_identity_have_no_hash() {
    let id = DeviceId { vendor: 0x0781, product: 0x5581 };
    let strings = DeviceStrings { product: &[b'a'; 254], id, serial: b"" };
    let error = device_hash(&strings, &bytes(COMPOSITE)).unwrap_err();
    assert_eq!(error.to_string(), "product has 254 bytes, over the limit of 253");
    let strings = DeviceStrings { product: &[b'a'; 253], ..strings };
    assert!(device_hash(&strings, &bytes(COMPOSITE)).is_ok());
    assert!(matches!(device_hash(&strings, b""), Err(HashError::Descriptors(_))));
}

#[test]
fn a_controllers_parent_is_its_place() {
    let path = "/devices/pci0000:00/0000:00:14.0";
    let hash = controller_parent_hash(path);
    assert_eq!(hash.as_bytes().len(), 44);
    assert_ne!(hash, controller_parent_hash("/sys/devices/pci0000:00/0000:00:14.0"));
}

#[test]
fn sysfs_text_is_trimmed_at_its_end() {
    let cases: [(&[u8], &[u8]); 6] = [
        (b"Ultra\n", b"Ultra"),
        (b"Ultra \n", b"Ultra "),
        (b"\tUltra\x00\r\n\t\x08", b"\tUltra"),
        (b"a\nb\n", b"a\nb"),
        (b"\n", b""),
        (b"", b""),
    ];
    for (text, trimmed) in cases {
        assert_eq!(trim_sysfs(text), trimmed);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        let _ = Descriptors::parse(&bytes);
    }

    #[test]
    fn nor_does_any_change_of_good_ones(place in 0..200_usize, byte: u8) {
        let mut changed = bytes(COMPOSITE);
        let length = changed.len();
        changed[place % length] = byte;
        if let Ok(descriptors) = Descriptors::parse(&changed) {
            prop_assert!(descriptors.interface_types().len() <= 3 + 5);
        }
    }
}
