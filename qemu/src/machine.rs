use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor's own virtualisation.
    Kvm,
    /// QEMU's translator, for machines without it.
    Software,
}

impl Accelerator {
    /// KVM where the processor has it and this user may use it. A `/dev/kvm` on a processor that
    /// lists neither vmx nor svm is a nested one that cannot run firmware.
    pub fn detect() -> Self {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let usable = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        if has_virtualisation(&flags) && usable() { Self::Kvm } else { Self::Software }
    }
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .flat_map(str::split_ascii_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm")
}

/// How the guest reaches its TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TpmInterface {
    /// Command response buffer.
    #[default]
    Crb,
    /// TPM interface specification (FIFO).
    Tis,
}

/// The watchdog in the machine. It resets the machine when the guest stops feeding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watchdog {
    /// Intel 6300ESB on PCI.
    #[default]
    I6300esb,
    /// The chipset's own TCO timer.
    Itco,
    /// None.
    None,
}

/// What the firmware tells about the machine (SMBIOS type 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmbiosSystem {
    /// Serial number; the Edge ID of a device that takes it from there.
    pub serial: String,
    /// System UUID; the machine ID follows from it.
    pub uuid: Uuid,
    /// Manufacturer.
    pub manufacturer: String,
    /// Product name.
    pub product: String,
}

/// What a drive's blocks come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriveSource {
    /// A network block device server at this Unix socket.
    Nbd(PathBuf),
    /// A raw image file.
    File(PathBuf),
}

/// A further disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraDisk {
    /// A name that is an identifier in QEMU: letters, digits, `-` and `_`.
    pub id: String,
    /// The raw image file; the guest's changes to it stay.
    pub image: PathBuf,
}

/// A port of this machine's loopback address that leads into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostForward {
    /// Port on 127.0.0.1 of this machine.
    pub host_port: u16,
    /// Port in the guest.
    pub guest_port: u16,
}

/// The guest's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// QEMU's own: the guest is 10.0.2.15 and finds this machine's loopback services at 10.0.2.2.
    User {
        /// Ways into the guest.
        forwards: Vec<HostForward>,
        /// Ways out for a restricted guest: (address and port that the guest sees, address and
        /// port on this machine), such as ("10.0.2.100:8443", "127.0.0.1:8443").
        guest_forwards: Vec<(String, String)>,
        /// Shut everything but the forwards.
        restrict: bool,
        /// The network card's address; QEMU's default is one and the same for all devices.
        mac: Option<[u8; 6]>,
    },
    /// No network card.
    None,
}

impl Default for Network {
    fn default() -> Self {
        Self::User { forwards: Vec::new(), guest_forwards: Vec::new(), restrict: false, mac: None }
    }
}

/// The sockets that this crate listens at and QEMU connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// First serial port.
    pub console: PathBuf,
    /// Second serial port, if the machine has one.
    pub second_serial: Option<PathBuf>,
    /// QEMU's monitor.
    pub qmp: PathBuf,
}

/// A machine, ready to become QEMU's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// What runs the instructions.
    pub accelerator: Accelerator,
    /// QEMU's CPU model; `None` takes the one that fits the accelerator.
    pub cpu: Option<String>,
    /// Number of processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// OVMF's code.
    pub firmware_code: PathBuf,
    /// OVMF's variables; the guest's changes to them stay.
    pub firmware_variables: PathBuf,
    /// The boot disk.
    pub disk: DriveSource,
    /// Further disks.
    pub extra_disks: Vec<ExtraDisk>,
    /// The TPM's interface and swtpm's control socket.
    pub tpm: Option<(TpmInterface, PathBuf)>,
    /// SMBIOS type 1.
    pub system: SmbiosSystem,
    /// SMBIOS type 11 strings, such as systemd's credentials.
    pub smbios_strings: Vec<String>,
    /// Network.
    pub network: Network,
    /// Watchdog.
    pub watchdog: Watchdog,
    /// The real-time clock at power-on in QEMU's form, such as `2020-01-01T00:00:00`; `None` is now.
    pub clock: Option<String>,
    /// Do not run until told so over QMP.
    pub paused: bool,
    /// Where QEMU connects to.
    pub sockets: Sockets,
    /// Further arguments, as they are.
    pub extra_arguments: Vec<String>,
}

/// The identifier of the network card, for QMP's `set_link`.
pub const NETWORK_ID: &str = "net0";
/// The bus that USB devices are plugged into.
pub const USB_BUS: &str = "xhci.0";

impl Machine {
    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<String> {
        let mut line = Line::default();
        self.add_platform(&mut line);
        self.add_firmware(&mut line);
        self.add_disks(&mut line);
        self.add_tpm(&mut line);
        self.add_network(&mut line);
        self.add_watchdog(&mut line);
        line.add("-device", "virtio-rng-pci");
        line.add("-device", "qemu-xhci,id=xhci");
        self.add_sockets(&mut line);
        line.0.extend(self.extra_arguments.iter().cloned());
        line.0
    }

    fn add_platform(&self, line: &mut Line) {
        line.0.extend(["-nodefaults", "-no-user-config"].map(str::to_owned));
        line.add("-display", "none");
        line.add("-machine", "q35,smm=on,vmport=off,sata=off,smbus=off");
        let (accelerator, fitting_cpu) = match self.accelerator {
            Accelerator::Kvm => ("kvm", "host"),
            Accelerator::Software => ("tcg,thread=multi", "max"),
        };
        line.add("-accel", accelerator);
        line.add("-cpu", self.cpu.as_deref().unwrap_or(fitting_cpu));
        line.add("-smp", self.cpus.to_string());
        line.add("-m", self.memory_mib.to_string());
        let base = self.clock.as_deref().unwrap_or("utc");
        line.add("-rtc", format!("base={base}"));
        let SmbiosSystem { serial, uuid, manufacturer, product } = &self.system;
        line.add(
            "-smbios",
            format!(
                "type=1,manufacturer={},product={},serial={},uuid={uuid}",
                escaped(manufacturer),
                escaped(product),
                escaped(serial)
            ),
        );
        for text in &self.smbios_strings {
            line.add("-smbios", format!("type=11,value={}", escaped(text)));
        }
        if self.paused {
            line.0.push("-S".to_owned());
        }
    }

    fn add_firmware(&self, line: &mut Line) {
        // Only system management mode may write the variables: Secure Boot is void without.
        line.add("-global", "driver=cfi.pflash01,property=secure,value=on");
        line.add("-global", "ICH9-LPC.disable_s3=1");
        let code = path(&self.firmware_code);
        let variables = path(&self.firmware_variables);
        line.add("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"));
        line.add("-drive", format!("if=pflash,unit=1,format=raw,file={variables}"));
    }

    fn add_disks(&self, line: &mut Line) {
        let options = "discard=unmap,detect-zeroes=off";
        line.add(
            "-blockdev",
            match &self.disk {
                DriveSource::Nbd(socket) => format!(
                    "driver=nbd,node-name=disk,{options},server.type=unix,server.path={}",
                    path(socket)
                ),
                DriveSource::File(file) => format!(
                    "driver=raw,node-name=disk,{options},file.driver=file,file.filename={}",
                    path(file)
                ),
            },
        );
        line.add("-device", "virtio-blk-pci,id=disk0,drive=disk,bootindex=1,write-cache=on");
        for ExtraDisk { id, image } in &self.extra_disks {
            let image = path(image);
            line.add(
                "-blockdev",
                format!(
                    "driver=raw,node-name={id},{options},file.driver=file,file.filename={image}"
                ),
            );
            line.add("-device", format!("virtio-blk-pci,id={id}-device,drive={id}"));
        }
    }

    fn add_tpm(&self, line: &mut Line) {
        let Some((interface, socket)) = &self.tpm else { return };
        let device = match interface {
            TpmInterface::Crb => "tpm-crb",
            TpmInterface::Tis => "tpm-tis",
        };
        line.add("-chardev", format!("socket,id=tpm,path={}", path(socket)));
        line.add("-tpmdev", "emulator,id=tpm0,chardev=tpm");
        line.add("-device", format!("{device},tpmdev=tpm0"));
    }

    fn add_network(&self, line: &mut Line) {
        let Network::User { forwards, guest_forwards, restrict, mac } = &self.network else {
            return;
        };
        let restrict = if *restrict { "on" } else { "off" };
        let mut netdev = format!("user,id={NETWORK_ID},restrict={restrict}");
        for HostForward { host_port, guest_port } in forwards {
            let _ = write!(netdev, ",hostfwd=tcp:127.0.0.1:{host_port}-:{guest_port}");
        }
        for (seen, real) in guest_forwards {
            let (seen, real) = (escaped(seen), escaped(real));
            let _ = write!(netdev, ",guestfwd=tcp:{seen}-tcp:{real}");
        }
        line.add("-netdev", netdev);
        // No option ROM: the firmware would try to boot from the network.
        let mut device = format!("virtio-net-pci,id=nic0,netdev={NETWORK_ID},romfile=");
        if let Some(mac) = mac {
            let _ = write!(device, ",mac={}", mac.map(|byte| format!("{byte:02x}")).join(":"));
        }
        line.add("-device", device);
    }

    fn add_watchdog(&self, line: &mut Line) {
        match self.watchdog {
            Watchdog::I6300esb => line.add("-device", "i6300esb"),
            Watchdog::Itco => line.add("-global", "ICH9-LPC.noreboot=off"),
            Watchdog::None => return,
        }
        line.add("-action", "watchdog=reset");
    }

    fn add_sockets(&self, line: &mut Line) {
        let Sockets { console, second_serial, qmp } = &self.sockets;
        for (id, socket) in [("console", Some(console)), ("serial1", second_serial.as_ref())] {
            if let Some(socket) = socket {
                line.add("-chardev", format!("socket,id={id},path={}", path(socket)));
                line.add("-serial", format!("chardev:{id}"));
            }
        }
        line.add("-chardev", format!("socket,id=qmp,path={}", path(qmp)));
        line.add("-mon", "chardev=qmp,mode=control");
    }
}

#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }
}

/// A comma ends a value in QEMU's options unless it is doubled.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

fn path(path: &Path) -> String {
    escaped(&path.display().to_string())
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
