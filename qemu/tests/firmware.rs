//! Devices that run as far as their firmware: QEMU, OVMF and swtpm together, without an image.

#![allow(clippy::unwrap_used)] // clippy's own exception knows test functions, not their helpers

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use holdfast_qemu::{
    CutMoment, Device, DeviceBuilder, Disk, Error, KeyOwner, LocalCa, PowerCutPlan, PowerOn, Rng,
    SecureBootKeys, Toolchain, UsbDevice, enroll_keys,
};

/// Firmware needs two seconds when nothing else runs.
const PATIENCE: Duration = Duration::from_secs(120);
/// What OVMF says on the serial port once it looks for something to boot.
const FIRMWARE_IS_UP: &str = "BdsDxe: ";

/// QEMU of this machine, or out of the file tree that `HOLDFAST_TOOLS_TREE` names.
fn toolchain() -> Option<Toolchain> {
    let found = match std::env::var_os("HOLDFAST_TOOLS_TREE") {
        Some(tree) => Toolchain::from_tree(Path::new(&tree)),
        None => Toolchain::from_host(),
    };
    match found {
        Ok(toolchain) => Some(toolchain),
        Err(Error::Missing(missing)) => {
            left_out(&format!("{} not on this machine", missing.join(", ")));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Says why a test checks nothing on this machine; fails where every tool is expected.
fn left_out(reason: &str) {
    assert!(std::env::var_os("HOLDFAST_REQUIRE_TOOLS").is_none(), "needed here: {reason}");
    eprintln!("left out: {reason}");
}

fn device(toolchain: &Toolchain, folder: &Path) -> Device {
    DeviceBuilder::new(folder, toolchain)
        .disk_size(64 << 20)
        .cpus(1)
        .memory_mib(256)
        .serial("HF,TEST")
        .build()
        .unwrap()
}

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn firmware_comes_up_again_after_reset_and_after_power_cuts() {
    let Some(toolchain) = toolchain() else { return };
    let folder = tempfile::tempdir().unwrap();
    let device = device(&toolchain, &folder.path().join("device"));
    let ek = device.ek().unwrap();

    let mut running = device.power_on(PowerOn::default()).unwrap();
    running.console().wait_for(FIRMWARE_IS_UP, PATIENCE).unwrap();
    assert_eq!(running.qmp().status().unwrap(), "running");
    running.reset().unwrap();
    running.qmp().wait_event("RESET", 0, PATIENCE).unwrap();
    running.console().wait_for(FIRMWARE_IS_UP, PATIENCE).unwrap();
    assert!(running.exit_status().is_none());
    let usage = running.usage();
    assert!(usage.cpu.total() > Duration::from_millis(100), "{usage:?}");
    assert!(usage.disk.reads > 0, "{usage:?}");
    let pid = running.pid();
    let (device, report) = running.power_cut(&mut Rng::new(1)).unwrap();
    assert!(is_gone(pid));
    assert_eq!(report.disk.at_risk, 0);

    let running = device.power_on(PowerOn::default()).unwrap();
    running.console().wait_for(FIRMWARE_IS_UP, PATIENCE).unwrap();
    let pid = running.pid();
    let (device, after) = running.switch_off().unwrap();
    assert!(is_gone(pid));
    assert!(after.cpu.total() > Duration::from_millis(100), "{after:?}");
    assert_eq!(device.ek().unwrap(), ek);

    let plan = PowerCutPlan::at(CutMoment::Elapsed(Duration::from_millis(700)), 5);
    let running = device.power_on(PowerOn::default()).unwrap();
    let (device, report) = running.power_cut_at(&plan).unwrap();
    assert!(report.elapsed >= Duration::from_millis(700), "{report}");
    drop(device);
    assert!(Device::open(&folder.path().join("device"), &toolchain).is_ok());
}

#[test]
fn a_device_opened_again_gets_its_tpms_from_the_same_authority() {
    let Some(toolchain) = toolchain() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let ca = LocalCa::at(&at("ca")).unwrap();
    let builder = DeviceBuilder::new(&at("device"), &toolchain).disk_size(1 << 20).local_ca(&ca);
    let first = builder.build().unwrap().ek().unwrap();
    let mut device = Device::open(&at("device"), &toolchain).unwrap();
    assert_eq!(device.ek().unwrap(), first);
    let copy = device.duplicate(&at("copy")).unwrap();
    device.replace_tpm_by_fresh().unwrap();
    assert_ne!(device.ek().unwrap(), first);
    assert_eq!(copy.ek().unwrap(), first);
    assert!(!at("device").join("tpm-ca").exists());
    device.replace_tpm(copy.tpm()).unwrap();
    assert_eq!(device.ek().unwrap(), first);
}

#[test]
fn usb_devices_and_the_network_cable_are_plugged_while_it_runs() {
    let Some(toolchain) = toolchain() else { return };
    let folder = tempfile::tempdir().unwrap();
    let device = device(&toolchain, &folder.path().join("device"));
    let stick = Disk::blank(&folder.path().join("stick.raw"), 1 << 20).unwrap();
    let options = PowerOn { second_serial: true, paused: true, ..PowerOn::default() };
    let running = device.power_on(options).unwrap();
    assert_eq!(running.qmp().status().unwrap(), "prelaunch");
    running.qmp().cont().unwrap();
    let storage = UsbDevice::Storage { image: stick.path().to_owned(), serial: "STICK".into() };
    let all =
        [storage, UsbDevice::Keyboard, UsbDevice::Mouse, UsbDevice::Network, UsbDevice::Serial];
    for device in &all {
        for _ in 0..2 {
            running.plug_usb(device, "plugged").unwrap();
            let error = running.plug_usb(device, "plugged").unwrap_err();
            assert!(matches!(&error, Error::Qmp { .. }), "{error}");
            running.unplug_usb(device, "plugged").unwrap();
        }
    }
    running.qmp().set_link(false).unwrap();
    running.qmp().set_link(true).unwrap();
    assert!(running.second_serial().is_some());
    let pid = running.pid();
    drop(running);
    assert!(is_gone(pid));
}

#[test]
fn a_machine_that_qemu_refuses_is_an_error_with_qemus_words() {
    let Some(toolchain) = toolchain() else { return };
    let folder = tempfile::tempdir().unwrap();
    let device = device(&toolchain, &folder.path().join("device"));
    let extra_arguments = vec!["-device".to_owned(), "no-such-device".to_owned()];
    let error = device.power_on(PowerOn { extra_arguments, ..PowerOn::default() }).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Command { .. }), "{text}");
    assert!(text.contains("'no-such-device' is not a valid device model name"), "{text}");
}

#[test]
fn enrolled_keys_turn_secure_boot_on() {
    let Some(toolchain) = toolchain() else { return };
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("db.crt");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-keyout"])
        .args([&folder.path().join("db.key"), Path::new("-out"), &certificate])
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        left_out("openssl is not on this machine");
        return;
    }
    let keys = SecureBootKeys {
        owner: KeyOwner("8be4df61-93ca-11d2-aa0d-00e098032b8c".parse().unwrap()),
        platform_key: certificate.clone(),
        key_exchange_keys: vec![certificate.clone()],
        db: vec![certificate],
    };
    let variables = folder.path().join("variables.fd");
    enroll_keys(&toolchain, &keys, &variables).unwrap();

    // An unsigned program where firmware looks for one: its refusal shows that the keys count.
    let image = folder.path().join("image.raw");
    let disk = unsigned_boot_disk(&image);
    let boots = |name: &str, variables: Option<&Path>| {
        let mut builder = DeviceBuilder::new(&folder.path().join(name), &toolchain)
            .image(disk.path())
            .disk_size(64 << 20)
            .cpus(1)
            .memory_mib(256);
        if let Some(variables) = variables {
            builder = builder.firmware_variables(variables);
        }
        let running = builder.build().unwrap().power_on(PowerOn::default()).unwrap();
        let outcomes = ["Access Denied", "BdsDxe: starting Boot"];
        running.console().wait_for_any(&outcomes, PATIENCE).unwrap().0 == 1
    };
    assert!(boots("without-keys", None));
    assert!(!boots("with-keys", Some(&variables)));
}

/// A disk with an EFI program that returns at once.
fn unsigned_boot_disk(path: &Path) -> Disk {
    use holdfast_qemu::{Esp, Gpt, NewPartition, partition_types};
    let disk = Disk::blank(path, 64 << 20).unwrap();
    let esp = NewPartition { label: "esp", type_id: partition_types::ESP, size: 0 };
    Gpt::create(path, &[esp]).unwrap();
    let esp = Esp::format(path, disk.partition("esp").unwrap().range()).unwrap();
    esp.write("EFI/BOOT/BOOTX64.EFI", &smallest_efi_program()).unwrap();
    esp.close().unwrap();
    disk
}

/// `xor eax, eax; ret` as a PE32+ EFI application (Microsoft PE format specification).
fn smallest_efi_program() -> Vec<u8> {
    let mut program = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| program[at..at + bytes.len()].copy_from_slice(bytes);
    let mut put32 = |at: usize, value: u32| put(at, &value.to_le_bytes());
    put32(0x00, u32::from_le_bytes(*b"MZ\0\0"));
    put32(0x3c, 0x40);
    put32(0x40, u32::from_le_bytes(*b"PE\0\0"));
    put32(0x44, 0x0001_8664); // x86-64, one section
    put32(0x54, 0x0022_00f0); // optional header of 240 bytes; executable, large addresses
    put32(0x58, 0x0000_020b); // PE32+
    put32(0x5c, 0x200); // size of code
    put32(0x68, 0x1000); // entry point
    put32(0x6c, 0x1000); // base of code
    put32(0x78, 0x1000); // section alignment
    put32(0x7c, 0x200); // file alignment
    put32(0x90, 0x2000); // size of image
    put32(0x94, 0x200); // size of headers
    put32(0x9c, 10); // subsystem: EFI application
    put32(0xc4, 16); // number of data directories
    put32(0x148, u32::from_le_bytes(*b".tex"));
    put32(0x14c, u32::from_le_bytes(*b"t\0\0\0"));
    put32(0x150, 3); // virtual size
    put32(0x154, 0x1000); // virtual address
    put32(0x158, 0x200); // size in the file
    put32(0x15c, 0x200); // place in the file
    put32(0x16c, 0x6000_0020); // code, executable, readable
    put32(0x200, u32::from_le_bytes([0x31, 0xc0, 0xc3, 0]));
    program
}
