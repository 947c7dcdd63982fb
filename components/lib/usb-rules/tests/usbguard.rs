//! USBGuard's own test data: its lists of good and bad rules, its recorded devices, its descriptor
//! dump. They are under the GPL and not part of this repository: the variable
//! `HOLDFAST_USBGUARD_SOURCE` names a checkout of github.com/USBGuard/usbguard, else nothing is
//! tested here.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_usb_rules::{
    Descriptors, DeviceId, DeviceStrings, Document, Rule, controller_parent_hash, device_hash,
};

const VARIABLE: &str = "HOLDFAST_USBGUARD_SOURCE";
const PROGRAM: &str = env!("CARGO_BIN_EXE_usb-rule-parser");

fn source() -> Option<PathBuf> {
    let source = std::env::var_os(VARIABLE).map(PathBuf::from);
    if source.is_none() {
        eprintln!("skipped: {VARIABLE} names no checkout of USBGuard");
    }
    source
}

/// Lines as the harness reads them: without the blanks around.
fn lines(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().to_vec());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn good_rules_are_read_and_come_back_from_print() {
    let Some(source) = source() else { return };
    let good = lines(&source.join("src/Tests/Rules/test-rules.good"));
    assert!(good.len() >= 767, "{} rules", good.len());
    for line in good.iter().filter(|line| !line.starts_with(b"#")) {
        let text = String::from_utf8_lossy(line);
        let rule = Rule::parse(line).unwrap_or_else(|error| panic!("{text}: {error}"));
        let printed = rule.to_string();
        assert_eq!(Rule::parse(printed.as_bytes()), Ok(rule), "{text}");
    }
}

#[test]
fn bad_rules_are_refused() {
    let Some(source) = source() else { return };
    let bad = lines(&source.join("src/Tests/Rules/test-rules.bad"));
    assert!(bad.len() >= 75, "{} rules", bad.len());
    for line in bad {
        let text = String::from_utf8_lossy(&line);
        assert!(Rule::parse(&line).is_err(), "{text}");
        assert!(Document::parse(&line).is_err(), "{text}");
    }
}

#[test]
fn the_harness_of_the_lists_passes_unmodified() {
    let Some(source) = source() else { return };
    let rules = source.join("src/Tests/Rules");
    let mut harness = Command::new("sh");
    harness.arg(rules.join("test-rules.sh")).arg(PROGRAM).arg(rules);
    let output = harness.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("FOUND: ").count(), 3, "{text}");
}

/// A device of a umockdev recording: its attributes, text and binary.
#[derive(Default)]
struct Recorded {
    properties: BTreeMap<String, String>,
    attributes: BTreeMap<String, Vec<u8>>,
}

fn recorded(path: &Path) -> BTreeMap<String, Recorded> {
    let text = fs::read_to_string(path).unwrap();
    let mut devices: BTreeMap<String, Recorded> = BTreeMap::new();
    let mut current = String::new();
    for (kind, rest) in text.lines().filter_map(|line| line.split_once(": ")) {
        let device = devices.entry(current.clone()).or_default();
        match (kind, rest.split_once('=')) {
            ("P", _) => rest.clone_into(&mut current),
            ("E", Some((name, value))) => {
                device.properties.insert(name.into(), value.into());
            }
            ("A", Some((name, value))) => {
                device.attributes.insert(name.into(), value.into());
            }
            ("H", Some((name, value))) => {
                device.attributes.insert(name.into(), hex::decode(value).unwrap());
            }
            _ => {}
        }
    }
    devices.retain(|_, device| device.properties.get("DEVTYPE").is_some_and(|t| t == "usb_device"));
    devices
}

#[test]
fn recorded_devices_have_usbguards_hashes() {
    let Some(source) = source() else { return };
    let devices = recorded(&source.join("src/Tests/UseCase/devices.umockdev"));
    let hash = |device: &Recorded| {
        let text = |name| device.attributes.get(name).map(Vec::as_slice).unwrap_or_default();
        let id = |name| u16::from_str_radix(std::str::from_utf8(text(name)).unwrap(), 16).unwrap();
        let id = DeviceId { vendor: id("idVendor"), product: id("idProduct") };
        let strings = DeviceStrings { product: text("product"), id, serial: text("serial") };
        device_hash(&strings, text("descriptors")).unwrap()
    };
    let hashes: Vec<_> = devices.values().map(|device| hash(device).to_string()).collect();
    assert_eq!(hashes.len(), 7);
    // The values that USBGuard's test looks for, a dock and a trackball at it; and a controller.
    for expected in [
        "2y2qS3rcuMr1Ye5knWsbD8CGzPtrs+eiRR/haro7+Ng=",
        "D3deklX12Ir3kJPfUZ5AQNwHeZn1bwtPkQkw6e+8B38=",
        "jEP/6WzviqdJ5VSeTUY8PatCNBKeaREvo2OqdplND/o=",
    ] {
        assert!(hashes.contains(&format!("\"{expected}\"")), "{expected} is not in {hashes:#?}");
    }
    let controller = devices.keys().find_map(|path| path.strip_suffix("/usb1")).unwrap();
    assert_eq!(controller_parent_hash(controller).as_bytes().len(), 44);
}

#[test]
fn the_dumped_descriptors_have_the_dumped_interfaces() {
    let Some(source) = source() else { return };
    let data = source.join("src/Tests/USB/data");
    let descriptors = Descriptors::parse(&fs::read(data.join("0001.bin")).unwrap()).unwrap();
    let dump = fs::read_to_string(data.join("0001.out")).unwrap();
    let numbers = |name: &str| {
        let values =
            dump.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        values.map(|value| value.parse::<u8>().unwrap()).collect::<Vec<_>>()
    };
    let kinds = descriptors.interface_types();
    let field = |part: fn(&holdfast_usb_rules::InterfaceType) -> u8| {
        kinds.iter().map(part).collect::<Vec<_>>()
    };
    assert!(!kinds.is_empty());
    assert_eq!(field(|kind| kind.class), numbers("bInterfaceClass"));
    assert_eq!(field(|kind| kind.subclass), numbers("bInterfaceSubClass"));
    assert_eq!(field(|kind| kind.protocol), numbers("bInterfaceProtocol"));
}
