use std::path::PathBuf;

use uuid::uuid;

use super::{
    Accelerator, DriveSource, ExtraDisk, HostForward, Machine, Network, SmbiosSystem, Sockets,
    TpmInterface, Watchdog, has_virtualisation,
};

fn machine() -> Machine {
    Machine {
        accelerator: Accelerator::Software,
        cpu: None,
        cpus: 2,
        memory_mib: 1024,
        firmware_code: "/fw/code.fd".into(),
        firmware_variables: "/dev,ice/vars.fd".into(),
        disk: DriveSource::Nbd("/run/disk".into()),
        extra_disks: Vec::new(),
        tpm: Some((TpmInterface::Crb, "/run/tpm".into())),
        system: SmbiosSystem {
            serial: "SN,1".into(),
            uuid: uuid!("11111111-2222-3333-4444-555555555555"),
            manufacturer: "Holdfast".into(),
            product: "Virtual device".into(),
        },
        smbios_strings: vec!["io.systemd.credential:a=b,c".into()],
        network: Network::default(),
        watchdog: Watchdog::default(),
        clock: None,
        paused: false,
        sockets: Sockets {
            console: "/run/console".into(),
            second_serial: None,
            qmp: "/run/qmp".into(),
        },
        extra_arguments: vec!["-no-reboot".into()],
    }
}

/// The values given to `option`.
fn values(machine: &Machine, option: &str) -> Vec<String> {
    let arguments = machine.arguments();
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    pairs.filter(|(name, _)| *name == option).map(|(_, value)| value.clone()).collect()
}

#[test]
fn the_command_line_of_a_usual_device() {
    let expected = "\
        -nodefaults -no-user-config -display none -machine q35,smm=on,vmport=off,sata=off,smbus=off \
        -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -rtc base=utc \
        -smbios type=1,manufacturer=Holdfast,product=Virtual_device,serial=SN,,1,\
        uuid=11111111-2222-3333-4444-555555555555 \
        -smbios type=11,value=io.systemd.credential:a=b,,c \
        -global driver=cfi.pflash01,property=secure,value=on -global ICH9-LPC.disable_s3=1 \
        -drive if=pflash,unit=0,format=raw,readonly=on,file=/fw/code.fd \
        -drive if=pflash,unit=1,format=raw,file=/dev,,ice/vars.fd \
        -blockdev driver=nbd,node-name=disk,discard=unmap,detect-zeroes=off,\
        server.type=unix,server.path=/run/disk \
        -device virtio-blk-pci,id=disk0,drive=disk,bootindex=1,write-cache=on \
        -chardev socket,id=tpm,path=/run/tpm -tpmdev emulator,id=tpm0,chardev=tpm \
        -device tpm-crb,tpmdev=tpm0 \
        -netdev user,id=net0,restrict=off -device virtio-net-pci,id=nic0,netdev=net0,romfile= \
        -device i6300esb -action watchdog=reset \
        -device virtio-rng-pci -device qemu-xhci,id=xhci \
        -chardev socket,id=console,path=/run/console -serial chardev:console \
        -chardev socket,id=qmp,path=/run/qmp -mon chardev=qmp,mode=control -no-reboot";
    let line: Vec<String> =
        machine().arguments().iter().map(|word| word.replace(' ', "_")).collect();
    assert_eq!(line.join(" "), expected);
}

#[test]
fn a_smaller_machine_leaves_out_what_it_does_not_have() {
    let bare = Machine {
        tpm: None,
        network: Network::None,
        watchdog: Watchdog::None,
        disk: DriveSource::File("/disk.raw".into()),
        smbios_strings: Vec::new(),
        ..machine()
    };
    let line = bare.arguments().join(" ");
    for absent in ["tpm", "net", "i6300esb", "-action", "nbd", "type=11"] {
        assert!(!line.contains(absent), "{absent} in {line}");
    }
    assert!(line.contains("file.driver=file,file.filename=/disk.raw"), "{line}");
}

#[test]
fn network_options() {
    let network = Network::User {
        forwards: vec![HostForward { host_port: 2222, guest_port: 22 }],
        guest_forwards: vec![("10.0.2.100:8443".into(), "127.0.0.1:9443".into())],
        restrict: true,
        mac: Some([0x52, 0x54, 0, 1, 2, 0xAB]),
    };
    let machine = Machine { network, ..machine() };
    assert_eq!(
        values(&machine, "-netdev"),
        ["user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22,\
         guestfwd=tcp:10.0.2.100:8443-tcp:127.0.0.1:9443"]
    );
    assert!(values(&machine, "-device").iter().any(|d| d.ends_with(",mac=52:54:00:01:02:ab")));
}

#[test]
fn every_choice_changes_its_option() {
    let choice = Machine {
        accelerator: Accelerator::Kvm,
        clock: Some("2020-01-01T00:00:00".into()),
        watchdog: Watchdog::Itco,
        tpm: Some((TpmInterface::Tis, "/t".into())),
        extra_disks: vec![ExtraDisk { id: "usb".into(), image: PathBuf::from("/x.raw") }],
        sockets: Sockets { second_serial: Some("/s1".into()), ..machine().sockets },
        paused: true,
        ..machine()
    };
    assert_eq!(values(&choice, "-accel"), ["kvm"]);
    assert_eq!(values(&choice, "-cpu"), ["host"]);
    assert_eq!(values(&choice, "-rtc"), ["base=2020-01-01T00:00:00"]);
    assert_eq!(values(&choice, "-serial"), ["chardev:console", "chardev:serial1"]);
    assert!(values(&choice, "-global").contains(&"ICH9-LPC.noreboot=off".to_owned()));
    let devices = values(&choice, "-device");
    assert!(devices.contains(&"tpm-tis,tpmdev=tpm0".to_owned()));
    assert!(devices.contains(&"virtio-blk-pci,id=usb-device,drive=usb".to_owned()));
    assert!(choice.arguments().contains(&"-S".to_owned()));
    let named = Machine { cpu: Some("Haswell".into()), ..choice };
    assert_eq!(values(&named, "-cpu"), ["Haswell"]);
}

#[test]
fn only_a_processor_flag_is_virtualisation() {
    assert!(has_virtualisation("flags\t\t: fpu vmx sse\n"));
    assert!(has_virtualisation("model: x\nflags : svm\n"));
    assert!(!has_virtualisation("flags\t\t: fpu sse npt\nmodel name: vmx svm\n"));
    assert!(!has_virtualisation(""));
}
