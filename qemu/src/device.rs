use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use uuid::Uuid;

use crate::disk::copy_sparse;
use crate::machine::{DriveSource, Machine, Sockets};
use crate::nbd::{self, FileStore, Recorder, Server, Store, VolatileDisk};
use crate::process::{Process, shell_line};
use crate::{
    Accelerator, Console, CpuTime, CutMoment, Disk, EkInfo, Error, ExtraDisk, LocalCa, Network,
    PowerCutPlan, PowerCutReport, Qmp, Result, Rng, SmbiosSystem, Swtpm, SwtpmProcess, Toolchain,
    TpmInterface, UsbDevice, Watchdog,
};

/// What a new device is made of.
#[derive(Debug, Clone)]
pub struct DeviceBuilder {
    folder: PathBuf,
    toolchain: Toolchain,
    image: Option<PathBuf>,
    disk_size: u64,
    firmware_variables: Option<PathBuf>,
    local_ca: Option<LocalCa>,
    description: Description,
}

/// What a device's folder says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    system: SmbiosSystem,
    tpm_interface: TpmInterface,
    cpus: u32,
    memory_mib: u32,
    /// The authority for this device's TPMs; its own where none is named.
    #[serde(default)]
    tpm_ca: Option<PathBuf>,
}

const FORMAT: u32 = 1;

impl DeviceBuilder {
    /// A device to be kept in `folder`: 4 GiB of disk, two processors, 1 GiB of memory, and a serial
    /// number and UUID of its own.
    pub fn new(folder: &Path, toolchain: &Toolchain) -> Self {
        let uuid = Uuid::new_v4();
        let serial = format!("HF-{}", &uuid.simple().to_string()[..12].to_ascii_uppercase());
        Self {
            folder: folder.to_owned(),
            toolchain: toolchain.clone(),
            image: None,
            disk_size: 4 << 30,
            firmware_variables: None,
            local_ca: None,
            description: Description {
                format: FORMAT,
                system: SmbiosSystem {
                    serial,
                    uuid,
                    manufacturer: "Holdfast".into(),
                    product: "Virtual device".into(),
                },
                tpm_interface: TpmInterface::default(),
                cpus: 2,
                memory_mib: 1024,
                tpm_ca: None,
            },
        }
    }

    /// The golden image that the disk begins as; without one the disk is blank.
    #[must_use]
    pub fn image(mut self, image: &Path) -> Self {
        self.image = Some(image.to_owned());
        self
    }

    /// The disk's size in bytes; never less than the image's.
    #[must_use]
    pub fn disk_size(mut self, bytes: u64) -> Self {
        self.disk_size = bytes;
        self
    }

    /// Firmware variables to begin with (see [`crate::enroll_keys`]); without them Secure Boot is
    /// in set-up mode.
    #[must_use]
    pub fn firmware_variables(mut self, variables: &Path) -> Self {
        self.firmware_variables = Some(variables.to_owned());
        self
    }

    /// The authority that certifies the TPM's endorsement key; without one the device has its own.
    #[must_use]
    pub fn local_ca(mut self, ca: &LocalCa) -> Self {
        self.local_ca = Some(ca.clone());
        self
    }

    /// The serial number that the firmware tells.
    #[must_use]
    pub fn serial(mut self, serial: &str) -> Self {
        serial.clone_into(&mut self.description.system.serial);
        self
    }

    /// The system UUID that the firmware tells.
    #[must_use]
    pub fn uuid(mut self, uuid: Uuid) -> Self {
        self.description.system.uuid = uuid;
        self
    }

    /// How the guest reaches the TPM.
    #[must_use]
    pub fn tpm_interface(mut self, interface: TpmInterface) -> Self {
        self.description.tpm_interface = interface;
        self
    }

    /// Number of processors.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.description.cpus = cpus;
        self
    }

    /// Memory in MiB.
    #[must_use]
    pub fn memory_mib(mut self, memory: u32) -> Self {
        self.description.memory_mib = memory;
        self
    }

    /// Makes the device: copies image and variables and manufactures a TPM. A device that was in
    /// the folder is gone.
    pub fn build(self) -> Result<Device> {
        let folder = self.folder;
        if folder.exists() {
            if !folder.join(DESCRIPTION).exists() && !is_empty(&folder)? {
                return Err(Error::content(&folder, "neither empty nor a device; not touched"));
            }
            fs::remove_dir_all(&folder).map_err(Error::file("remove", &folder))?;
        }
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let folder = folder.canonicalize().map_err(Error::file("find", &folder))?;
        let disk = folder.join(DISK);
        let disk = match &self.image {
            Some(image) => Disk::from_image(image, &disk, self.disk_size)?,
            None => Disk::blank(&disk, self.disk_size)?,
        };
        let variables = folder.join(VARIABLES);
        let template = self.firmware_variables.as_ref();
        copy_sparse(template.unwrap_or(&self.toolchain.ovmf_vars_template), &variables)?;
        let ca = match self.local_ca {
            Some(ca) => ca,
            None => LocalCa::at(&folder.join("tpm-ca"))?,
        };
        let tpm = Swtpm::manufacture(&self.toolchain, &ca, &folder.join(TPM))?;
        let description = Description { tpm_ca: Some(ca.folder().to_owned()), ..self.description };
        let text = serde_json::to_string_pretty(&description)
            .map_err(|error| Error::content(&folder, error.to_string()))?;
        // Last: a folder without it is no device.
        let path = folder.join(DESCRIPTION);
        fs::write(&path, text).map_err(Error::file("write", &path))?;
        Ok(Device { folder, toolchain: self.toolchain, disk, tpm, ca, description })
    }
}

/// A device that is off: a folder with its disk, TPM, firmware variables and description.
#[derive(Debug)]
pub struct Device {
    folder: PathBuf,
    toolchain: Toolchain,
    disk: Disk,
    tpm: Swtpm,
    ca: LocalCa,
    description: Description,
}

const DESCRIPTION: &str = "device.json";
const DISK: &str = "disk.raw";
const VARIABLES: &str = "variables.fd";
const TPM: &str = "tpm";

impl Device {
    /// The device that was made in `folder` before.
    pub fn open(folder: &Path, toolchain: &Toolchain) -> Result<Self> {
        let path = folder.join(DESCRIPTION);
        let text = fs::read(&path).map_err(Error::file("read", &path))?;
        let description: Description = serde_json::from_slice(&text)
            .map_err(|error| Error::content(&path, error.to_string()))?;
        if description.format != FORMAT {
            return Err(Error::content(
                &path,
                format!("format {}, not {FORMAT}", description.format),
            ));
        }
        let folder = folder.canonicalize().map_err(Error::file("find", folder))?;
        Ok(Self {
            disk: Disk::open(&folder.join(DISK))?,
            tpm: Swtpm::open(&folder.join(TPM))?,
            ca: match &description.tpm_ca {
                Some(ca) => LocalCa::at(ca)?,
                None => LocalCa::at(&folder.join("tpm-ca"))?,
            },
            toolchain: toolchain.clone(),
            folder,
            description,
        })
    }

    /// A copy in `folder` of disk, TPM state, variables and description.
    pub fn duplicate(&self, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        if !is_empty(folder)? {
            return Err(Error::content(folder, "not empty; not touched"));
        }
        self.disk.duplicate(&folder.join(DISK))?;
        copy_sparse(&self.firmware_variables(), &folder.join(VARIABLES))?;
        self.tpm.duplicate(&folder.join(TPM))?;
        copy_sparse(&self.folder.join(DESCRIPTION), &folder.join(DESCRIPTION))?;
        Self::open(folder, &self.toolchain)
    }

    /// Where it is kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Exchanges the disk's content for a copy of `disk`, keeping TPM and firmware.
    pub fn replace_disk(&mut self, disk: &Disk) -> Result<()> {
        self.disk = disk.duplicate(&self.folder.join(DISK))?;
        Ok(())
    }

    /// Its TPM.
    pub fn tpm(&self) -> &Swtpm {
        &self.tpm
    }

    /// Its TPM's endorsement key.
    pub fn ek(&self) -> Result<EkInfo> {
        self.tpm.ek()
    }

    /// Exchanges the TPM for a new one.
    pub fn replace_tpm_by_fresh(&mut self) -> Result<()> {
        self.tpm = Swtpm::manufacture(&self.toolchain, &self.ca, &self.folder.join(TPM))?;
        Ok(())
    }

    /// Exchanges the TPM for a copy of `tpm`.
    pub fn replace_tpm(&mut self, tpm: &Swtpm) -> Result<()> {
        self.tpm = tpm.duplicate(&self.folder.join(TPM))?;
        Ok(())
    }

    /// The file with its firmware variables.
    pub fn firmware_variables(&self) -> PathBuf {
        self.folder.join(VARIABLES)
    }

    /// Exchanges the firmware variables for a copy of the file `variables`.
    pub fn replace_firmware_variables(&mut self, variables: &Path) -> Result<()> {
        copy_sparse(variables, &self.firmware_variables())
    }

    /// What its firmware tells about it.
    pub fn system(&self) -> &SmbiosSystem {
        &self.description.system
    }

    /// Changes what its firmware tells about it, as a new main board does.
    pub fn set_system(&mut self, system: SmbiosSystem) {
        self.description.system = system;
    }

    /// Switches it on.
    pub fn power_on(self, options: PowerOn) -> Result<Running> {
        Running::start(self, options)
    }

    /// A new folder for the files of one run.
    fn new_run_folder(&self) -> Result<PathBuf> {
        let runs = self.folder.join("runs");
        fs::create_dir_all(&runs).map_err(Error::file("create", &runs))?;
        for number in 1_u32.. {
            let folder = runs.join(format!("{number:04}"));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(folder),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::file("create", &folder)(error)),
            }
        }
        Err(Error::content(&runs, "no number left for another run"))
    }
}

/// What is particular to one run of a device.
#[derive(Debug, Clone, Default)]
pub struct PowerOn {
    /// SMBIOS type 11 strings, such as `io.systemd.credential:name=value`.
    pub smbios_strings: Vec<String>,
    /// Further disks.
    pub extra_disks: Vec<ExtraDisk>,
    /// The network.
    pub network: Network,
    /// The watchdog.
    pub watchdog: Watchdog,
    /// Leave the TPM out.
    pub without_tpm: bool,
    /// Give the machine a second serial port, which [`Running::second_serial`] reads.
    pub second_serial: bool,
    /// The real-time clock in QEMU's form, such as `2020-01-01T00:00:00`.
    pub clock: Option<String>,
    /// Record every write to the disk in this file, for [`nbd::Replay`].
    pub record_writes: Option<PathBuf>,
    /// QEMU's CPU model, if not the one that fits the accelerator.
    pub cpu: Option<String>,
    /// The accelerator, if not the one that fits this machine.
    pub accelerator: Option<Accelerator>,
    /// Do not run before [`Qmp::cont`].
    pub paused: bool,
    /// Further arguments for QEMU.
    pub extra_arguments: Vec<String>,
}

/// What a run of a device has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// From power-on to the end.
    pub elapsed: Duration,
    /// QEMU's processor time.
    pub cpu: CpuTime,
    /// The guest's use of its disk.
    pub disk: nbd::Counters,
}

/// A device that is on. Dropping it pulls the plug, but spares the disk.
#[derive(Debug)]
pub struct Running {
    // In the order in which dropping them is right.
    console: Console,
    second_serial: Option<Console>,
    qmp: Qmp,
    qemu: Process,
    swtpm: Option<SwtpmProcess>,
    server: Server,
    begun: Instant,
    run_folder: PathBuf,
    device: Device,
    _sockets: TempDir,
}

impl Running {
    fn start(device: Device, options: PowerOn) -> Result<Self> {
        let run_folder = device.new_run_folder()?;
        // Unix socket addresses are at most 107 bytes long: not in the device's folder.
        let sockets = tempfile::Builder::new()
            .prefix("holdfast-")
            .tempdir()
            .map_err(Error::file("create a folder in", &std::env::temp_dir()))?;
        let socket = |name: &str| sockets.path().join(name);
        let begun = Instant::now();
        let server = serve_disk(&device.disk, &options, begun, &socket("disk"))?;
        let swtpm = if options.without_tpm {
            None
        } else {
            let log = run_folder.join("swtpm.log");
            Some(device.tpm.start(&device.toolchain, &socket("tpm"), &log)?)
        };
        let addresses = Sockets {
            console: socket("console"),
            second_serial: options.second_serial.then(|| socket("serial1")),
            qmp: socket("qmp"),
        };
        let console = listen(&addresses.console)?;
        let second_serial = addresses.second_serial.as_deref().map(listen).transpose()?;
        let qmp = listen(&addresses.qmp)?;
        let tpm = swtpm.is_some().then(|| socket("tpm"));
        let machine = describe(&device, options, server.socket(), tpm, addresses);
        let mut command = device.toolchain.qemu_command.clone();
        command.extend(machine.arguments());
        let shown = run_folder.join("command");
        fs::write(&shown, shell_line(&command) + "\n").map_err(Error::file("write", &shown))?;
        let log = run_folder.join("qemu.log");
        let mut qemu = Process::start(command, &device.toolchain.qemu_env, &log)?;
        let begun = Instant::now();
        let mut open_console = |listener: &UnixListener, name: &str| {
            Console::open(accept(listener, &mut qemu)?, begun, &run_folder.join(name))
        };
        let console = open_console(&console, "console.log")?;
        let second_serial =
            second_serial.map(|listener| open_console(&listener, "serial1.log")).transpose()?;
        let stream = accept(&qmp, &mut qemu)?;
        let qmp = match Qmp::connect(stream, begun) {
            Ok(qmp) => qmp,
            // What QEMU complained about says more than that it hung up.
            Err(_) if qemu.wait(Duration::from_secs(2)).is_some() => return Err(qemu.failure()),
            Err(error) => return Err(error),
        };
        Ok(Self {
            console,
            second_serial,
            qmp,
            qemu,
            swtpm,
            server,
            begun,
            run_folder,
            device,
            _sockets: sockets,
        })
    }

    /// The first serial port.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The second serial port, if it was asked for.
    pub fn second_serial(&self) -> Option<&Console> {
        self.second_serial.as_ref()
    }

    /// QEMU's monitor.
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// The device itself; its disk is in use.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The folder with this run's console transcript, logs and command line.
    pub fn run_folder(&self) -> &Path {
        &self.run_folder
    }

    /// Time since power-on.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// QEMU's process number.
    pub fn pid(&self) -> u32 {
        self.qemu.pid()
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        Usage { elapsed: self.elapsed(), cpu: self.qemu.cpu_time(), disk: self.server.counters() }
    }

    /// Presses the reset button.
    pub fn reset(&self) -> Result<()> {
        self.qmp.system_reset()
    }

    /// Plugs a USB device in.
    pub fn plug_usb(&self, device: &UsbDevice, id: &str) -> Result<()> {
        device.plug(&self.qmp, id, None)
    }

    /// Plugs a USB device in at a port, as in `2` of the controller or `2.1` of a hub there.
    pub fn plug_usb_at(&self, device: &UsbDevice, id: &str, port: &str) -> Result<()> {
        device.plug(&self.qmp, id, Some(port))
    }

    /// Pulls a USB device out.
    pub fn unplug_usb(&self, device: &UsbDevice, id: &str) -> Result<()> {
        device.unplug(&self.qmp, id)
    }

    /// How QEMU ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.qemu.poll()
    }

    /// Presses the power button and waits until the guest has shut down.
    pub fn shut_down(self, timeout: Duration) -> Result<(Device, Usage)> {
        self.qmp.system_powerdown()?;
        self.wait_off(timeout)
    }

    /// Waits until the guest has switched the machine off.
    pub fn wait_off(mut self, timeout: Duration) -> Result<(Device, Usage)> {
        match self.qemu.wait(timeout) {
            Some(status) if status.success() => self.into_device(),
            Some(_) => Err(self.qemu.failure()),
            None => {
                let lines = self.console.lines();
                let last = lines.iter().rev().take(10).rev().map(|line| line.text.as_str());
                let context = last.collect::<Vec<_>>().join("\n");
                Err(Error::Timeout {
                    what: "the device to switch off".into(),
                    after: timeout,
                    context,
                })
            }
        }
    }

    /// Ends QEMU without asking the guest, but keeps every write of the guest.
    pub fn switch_off(mut self) -> Result<(Device, Usage)> {
        // QEMU may be ending already, and then the answer does not come.
        let _ = self.qmp.quit();
        if self.qemu.wait(Duration::from_secs(30)).is_none() {
            self.qemu.kill();
        }
        self.into_device()
    }

    /// Cuts the power now: the guest stops between two instructions, and a random part of its
    /// writes since the last flush is lost.
    pub fn power_cut(mut self, rng: &mut Rng) -> Result<(Device, PowerCutReport)> {
        self.server.freeze();
        let elapsed = self.elapsed();
        self.qemu.kill();
        let writes = self.server.counters().writes;
        self.stop_tpm();
        let Self { server, device, .. } = self;
        let disk = server.cut_power(rng).map_err(Error::file("write", device.disk.path()))?;
        Ok((device, PowerCutReport { elapsed, writes, disk }))
    }

    /// Waits for the plan's moment and cuts the power.
    pub fn power_cut_at(mut self, plan: &PowerCutPlan) -> Result<(Device, PowerCutReport)> {
        match plan.moment() {
            CutMoment::Elapsed(time) => {
                let left = time.saturating_sub(self.elapsed());
                if self.qemu.wait(left).is_some() {
                    return Err(self.qemu.failure());
                }
            }
            CutMoment::Writes(writes) => {
                self.server.freeze_after_writes(writes);
                while !self.server.wait_frozen(Duration::from_millis(100)) {
                    if self.qemu.poll().is_some() {
                        return Err(self.qemu.failure());
                    }
                }
            }
        }
        self.power_cut(&mut plan.rng())
    }

    fn stop_tpm(&mut self) {
        if let Some(swtpm) = &mut self.swtpm {
            swtpm.finish();
        }
    }

    fn into_device(mut self) -> Result<(Device, Usage)> {
        let usage = self.usage();
        self.stop_tpm();
        let Self { server, device, .. } = self;
        server.finish().map_err(Error::file("write", device.disk.path()))?;
        Ok((device, usage))
    }
}

fn serve_disk(disk: &Disk, options: &PowerOn, begun: Instant, socket: &Path) -> Result<Server> {
    let store = FileStore::open(disk.path()).map_err(Error::file("open", disk.path()))?;
    let store: Box<dyn Store> = Box::new(store);
    let recorder = options
        .record_writes
        .as_deref()
        .map(|path| Recorder::create(path, begun).map_err(Error::file("create", path)))
        .transpose()?;
    let disk = VolatileDisk::new(store).with_recorder(recorder);
    Server::start(disk, socket).map_err(Error::file("listen at", socket))
}

fn describe(
    device: &Device,
    options: PowerOn,
    disk: &Path,
    tpm: Option<PathBuf>,
    sockets: Sockets,
) -> Machine {
    let Description { system, tpm_interface, cpus, memory_mib, .. } = &device.description;
    Machine {
        accelerator: options.accelerator.unwrap_or_else(Accelerator::detect),
        cpu: options.cpu,
        cpus: *cpus,
        memory_mib: *memory_mib,
        firmware_code: device.toolchain.ovmf_code.clone(),
        firmware_variables: device.firmware_variables(),
        disk: DriveSource::Nbd(disk.to_owned()),
        extra_disks: options.extra_disks,
        tpm: tpm.map(|socket| (*tpm_interface, socket)),
        system: system.clone(),
        smbios_strings: options.smbios_strings,
        network: options.network,
        watchdog: options.watchdog,
        clock: options.clock,
        paused: options.paused,
        sockets,
        extra_arguments: options.extra_arguments,
    }
}

fn listen(socket: &Path) -> Result<UnixListener> {
    let listener = UnixListener::bind(socket).map_err(Error::file("listen at", socket))?;
    listener.set_nonblocking(true).map_err(Error::file("listen at", socket))?;
    Ok(listener)
}

/// Waits for QEMU to connect; gives up when it has ended.
fn accept(listener: &UnixListener, qemu: &mut Process) -> Result<UnixStream> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(|error| broken(&error))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(&error)),
        }
        if qemu.poll().is_some() || begun.elapsed() > PATIENCE {
            return Err(qemu.failure());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn broken(error: &std::io::Error) -> Error {
    Error::Protocol { peer: "QEMU", reason: error.to_string() }
}

fn is_empty(folder: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(folder).map_err(Error::file("list", folder))?;
    Ok(entries.next().is_none())
}
