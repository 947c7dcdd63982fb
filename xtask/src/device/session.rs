//! A device that is on, and everybody who wants something of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_qemu::{Console, PowerCutPlan, Rng, Running, UsbDevice};
use serde_json::{Value, json};

use super::control::{Call, Control, Request, UsbKind};
use crate::signals::Stop;

/// A running device with its control socket.
pub struct Session {
    running: Running,
    control: Control,
    stop: Stop,
    plugged: BTreeMap<String, UsbDevice>,
    folder: PathBuf,
}

/// Why a session should end.
pub enum Wish {
    /// The person asked for it.
    Stop,
    /// Somebody cut the power.
    Cut {
        /// Who waits for the report.
        call: Option<Call>,
        /// Decides what is lost.
        seed: Option<u64>,
    },
    /// The guest has switched the machine off.
    Off,
}

/// Time for a guest to shut down on an emulated processor.
const SHUT_DOWN_PATIENCE: Duration = Duration::from_secs(45);

impl Session {
    /// Serves `running`, a device of the bench in `folder`.
    pub fn new(running: Running, folder: &Path, stop: Stop) -> Result<Self> {
        let control = Control::open(folder)?;
        Ok(Self { running, control, stop, plugged: BTreeMap::new(), folder: folder.to_owned() })
    }

    /// The device.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Its console.
    pub fn console(&self) -> &Console {
        self.running.console()
    }

    /// Does what has been asked since the last round; an end is left to the caller.
    pub fn round(&mut self) -> Result<Option<Wish>> {
        if self.stop.is_asked() {
            return Ok(Some(Wish::Stop));
        }
        if self.running.exit_status().is_some() {
            return Ok(Some(Wish::Off));
        }
        for bytes in self.control.typed.try_iter() {
            self.running.console().send(&bytes)?;
        }
        while let Ok(call) = self.control.calls.try_recv() {
            match &call.request {
                Request::Attach => call.attach(self.running.console().listen()),
                Request::Cut { seed } => {
                    let seed = *seed;
                    return Ok(Some(Wish::Cut { call: Some(call), seed }));
                }
                request => {
                    let request = request.clone();
                    let result = self.carry_out(request);
                    call.answer(result);
                }
            }
        }
        Ok(None)
    }

    fn carry_out(&mut self, request: Request) -> Result<Value> {
        let qmp = self.running.qmp();
        match request {
            Request::Attach | Request::Cut { .. } => bail!("not here"),
            Request::Status => {
                let usage = self.running.usage();
                return Ok(json!({
                    "state": qmp.status()?,
                    "seconds": usage.elapsed.as_secs_f64(),
                    "cpu_seconds": usage.cpu.total().as_secs_f64(),
                    "disk_writes": usage.disk.writes,
                    "usb": self.plugged.keys().collect::<Vec<_>>(),
                    "transcript": self.running.console().transcript(),
                }));
            }
            Request::Plug { kind, id, image } => self.plug(kind, id, image)?,
            Request::Unplug { id } => {
                let device = self.plugged.get(&id);
                let device = device.with_context(|| {
                    let there: Vec<&str> = self.plugged.keys().map(String::as_str).collect();
                    format!("nothing called {id} is plugged in, only: {}", there.join(", "))
                })?;
                self.running.unplug_usb(device, &id)?;
                self.plugged.remove(&id);
            }
            Request::Reset => self.running.reset()?,
            Request::PowerButton => qmp.system_powerdown()?,
            Request::Cable { up } => qmp.set_link(up)?,
            Request::Qmp { command, arguments } => return Ok(qmp.execute(&command, arguments)?),
        }
        Ok(Value::Null)
    }

    fn plug(&mut self, kind: UsbKind, id: String, image: Option<PathBuf>) -> Result<()> {
        if self.plugged.contains_key(&id) {
            bail!("{id} is plugged in already; give this one another --id");
        }
        let device = match (kind, image) {
            (UsbKind::Storage, image) => UsbDevice::Storage {
                image: match image {
                    Some(image) => image,
                    None => self.blank_stick(&id)?,
                },
                serial: format!("HF-{}", id.to_ascii_uppercase()),
            },
            (_, Some(_)) => bail!("only a memory stick has an image"),
            (UsbKind::Keyboard, None) => UsbDevice::Keyboard,
            (UsbKind::Mouse, None) => UsbDevice::Mouse,
            (UsbKind::Network, None) => UsbDevice::Network,
            (UsbKind::Serial, None) => UsbDevice::Serial,
        };
        self.running.plug_usb(&device, &id)?;
        self.plugged.insert(id, device);
        Ok(())
    }

    fn blank_stick(&self, id: &str) -> Result<PathBuf> {
        const SIZE: u64 = 64 << 20;
        let image = self.folder.join(format!("{id}.raw"));
        if !image.exists() {
            holdfast_qemu::Disk::blank(&image, SIZE)?;
        }
        Ok(image)
    }

    /// Ends the device as wished; the result says how it went.
    pub fn end(self, wish: Wish) -> Result<String> {
        let Self { running, control, .. } = self;
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let text = match wish {
            Wish::Off => {
                let (_, usage) = running.wait_off(SHUT_DOWN_PATIENCE)?;
                format!("the device switched itself off after {}", seconds(usage.elapsed))
            }
            Wish::Stop => match running.shut_down(SHUT_DOWN_PATIENCE) {
                Ok((_, usage)) => {
                    format!("the device shut down after {}", seconds(usage.elapsed))
                }
                Err(error) => {
                    let error = error.to_string();
                    let reason = error.lines().next().unwrap_or_default();
                    format!("the device did not shut down and was switched off: {reason}")
                }
            },
            Wish::Cut { call, seed } => {
                let seed = seed.unwrap_or_else(Rng::fresh_seed);
                let plan = PowerCutPlan::at(holdfast_qemu::CutMoment::Writes(0), seed);
                let (_, report) = running.power_cut(&mut plan.rng())?;
                let text = format!("{report} (seed {seed})");
                if let Some(call) = call {
                    call.answer(Ok(Value::String(text.clone())));
                }
                text
            }
        };
        control.finish();
        Ok(text)
    }
}
