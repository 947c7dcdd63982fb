//! What a decision costs: rules held against a device; and from the event to the write, on files that
//! stand for sysfs.
//!
//! `cargo bench --locked --profile release -p holdfast-usb --bench decision [-- --output FILE]`
#![allow(clippy::unwrap_used, clippy::expect_used)] // a bench that cannot be set up says so

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holdfast_usb::blocker::{Blocker, Files, Scope};
use holdfast_usb::clock::Now;
use holdfast_usb::config::Config;
use holdfast_usb::sysfs::SysfsTree;
use holdfast_usb_rules::{
    Circumstances, Descriptors, Device, DeviceStrings, Document, History, Policy, TimeOfDay,
    Verdict, device_hash,
};

const SIZES: [usize; 3] = [10, 1000, 10_000];
const RUNS: usize = 1000;
const PLUGS: usize = 300;

/// A memory stick of one interface.
const STICK: [u8; 50] = [
    18, 1, 0, 2, 0, 0, 0, 64, 0xf4, 0x46, 1, 0, 0, 0, 1, 2, 3, 1, // device
    9, 2, 32, 0, 1, 1, 0, 0x80, 50, // configuration
    9, 4, 0, 0, 2, 8, 6, 0x50, 0, // interface
    7, 5, 0x81, 2, 64, 0, 0, // endpoints
    7, 5, 0x02, 2, 64, 0, 0,
];
const ROOT_HUB: [u8; 43] = [
    18, 1, 0, 2, 9, 0, 1, 64, 0x6b, 0x1d, 2, 0, 0x12, 6, 3, 2, 1, 1, // device
    9, 2, 25, 0, 1, 1, 0, 0xe0, 0, // configuration
    9, 4, 0, 0, 1, 9, 0, 0, 0, // interface
    7, 5, 0x81, 3, 4, 0, 12, // endpoint
];

/// Rules of a fleet, of which the last one is for the stick.
fn rules(count: usize) -> String {
    let other = |number| {
        format!(
            "allow id 0781:5583 serial \"4C53000{number}\" name \"Ultra\" with-interface 08:06:50\n"
        )
    };
    (1..count).map(other).chain(["allow serial \"STICK\"\n".to_owned()]).collect()
}

fn stick() -> Device {
    let parsed = Descriptors::parse(&STICK).unwrap();
    let id = parsed.device.id;
    let strings = DeviceStrings { product: b"QEMU USB HARDDRIVE", id, serial: b"STICK" };
    Device {
        id,
        serial: "STICK".into(),
        name: "QEMU USB HARDDRIVE".into(),
        hash: device_hash(&strings, &STICK).unwrap(),
        parent_hash: "p".into(),
        via_port: "1-1".into(),
        interfaces: parsed.interface_types(),
        connect_type: "hotplug".into(),
    }
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_nanos();
    format!("{{\"p50_ns\":{},\"p99_ns\":{}}}", at(50), at(99))
}

/// One evaluation of all rules.
fn evaluation(count: usize) -> String {
    let document = Document::parse(rules(count).as_bytes()).unwrap();
    let policy = Policy::new(&document, Verdict::Block);
    let (device, history) = (stick(), History::default());
    let circumstances = Circumstances {
        local_time: TimeOfDay::new(12, 0, 0),
        arrived: Duration::ZERO,
        history: &history,
        allowed: &[],
        draw: &|_, _| 0.5,
    };
    let once = || {
        let begun = Instant::now();
        let decision = std::hint::black_box(policy.decide(&device, &circumstances));
        let taken = begun.elapsed();
        assert_eq!(decision.verdict, Verdict::Allow);
        taken
    };
    quantiles((0..RUNS).map(|_| once()).collect())
}

/// Puts a device into files as sysfs has it.
fn plug(sysfs: &Path, name: &str, place: &str, files: &[(&str, &[u8])]) {
    let folder = sysfs.join("devices").join(place);
    fs::create_dir_all(&folder).unwrap();
    for (file, content) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let link = sysfs.join("bus/usb/devices").join(name);
    if !link.exists() {
        symlink(Path::new("../../../devices").join(place), link).unwrap();
        symlink("../../../../bus/usb/drivers/usb", folder.join("driver")).unwrap();
    }
}

/// From the event to the write, with these rules.
fn reaction(count: usize) -> String {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::create_dir_all(path("sys/bus/usb/devices")).unwrap();
    fs::create_dir_all(path("run")).unwrap();
    fs::write(path("rules"), rules(count)).unwrap();
    fs::write(path("ports"), "used *\n").unwrap();
    let hub: [(&str, &[u8]); 9] = [
        ("descriptors", &ROOT_HUB),
        ("idVendor", b"1d6b\n"),
        ("idProduct", b"0002\n"),
        ("product", b"xHCI Host Controller\n"),
        ("speed", b"480\n"),
        ("maxchild", b"4\n"),
        ("authorized", b"1\n"),
        ("authorized_default", b"0\n"),
        ("interface_authorized_default", b"1\n"),
    ];
    let sysfs = path("sys");
    plug(&sysfs, "usb1", "pci/usb1", &hub);
    let files = Files {
        state: root.path().to_owned(),
        runtime: path("run"),
        rules: path("rules"),
        ports: path("ports"),
    };
    // A storm is what it is.
    let config = Config::parse("[storm]\narrivals = 1000\nwithin_s = 1").unwrap();
    let mut blocker = Blocker::new(SysfsTree::at(&sysfs), &config, files);
    let mut now = Now { uptime: Duration::from_secs(10), local_time: None, may_allow: true };
    blocker.reconcile(&now, Scope::Everything);
    let authorized = path("sys/devices/pci/usb1/1-1/authorized");
    let mut times = Vec::new();
    for _ in 0..PLUGS {
        let stick: [(&str, &[u8]); 7] = [
            ("descriptors", &STICK),
            ("idVendor", b"46f4\n"),
            ("idProduct", b"0001\n"),
            ("product", b"QEMU USB HARDDRIVE\n"),
            ("serial", b"STICK\n"),
            ("authorized", b"0\n"),
            ("port/connect_type", b"hotplug\n"),
        ];
        plug(&sysfs, "1-1", "pci/usb1/1-1", &stick);
        now.uptime += Duration::from_secs(1);
        let begun = Instant::now();
        blocker.reconcile(&now, Scope::Events);
        times.push(begun.elapsed());
        assert!(fs::read(&authorized).unwrap().starts_with(b"1"), "the stick is let in");
        fs::remove_dir_all(path("sys/devices/pci/usb1/1-1")).unwrap();
        fs::remove_file(path("sys/bus/usb/devices/1-1")).unwrap();
        blocker.reconcile(&now, Scope::Events);
        blocker.take_news();
    }
    quantiles(times)
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let output = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--output"), Some(file)) => Some(PathBuf::from(file)),
        _ => None,
    };
    let figures = SIZES.map(|count| {
        format!(
            "{{\"rules\":{count},\"evaluation\":{},\"event_to_write\":{}}}",
            evaluation(count),
            reaction(count)
        )
    });
    let json = format!("[{}]\n", figures.join(","));
    match output {
        Some(file) => fs::write(file, json).unwrap(),
        None => print!("{json}"),
    }
}
