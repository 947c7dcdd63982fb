use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::machine::USB_BUS;
use crate::{Qmp, Result};

/// A USB device to plug into a running machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsbDevice {
    /// A memory stick with a raw image as its content.
    Storage {
        /// The image file.
        image: PathBuf,
        /// The serial number that the stick shows.
        serial: String,
    },
    /// A keyboard.
    Keyboard,
    /// A mouse.
    Mouse,
    /// A network card without a network behind it (CDC Ethernet).
    Network,
    /// A serial adapter (FTDI) with nothing behind it.
    Serial,
    /// A hub of eight ports that switches their power.
    Hub,
}

impl UsbDevice {
    /// Plugs it in under the identifier `id`, into hub port `port` or any free one.
    pub fn plug(&self, qmp: &Qmp, id: &str, port: Option<&str>) -> Result<()> {
        if let Self::Storage { image, .. } = self {
            qmp.blockdev_add(json!({
                "driver": "raw",
                "node-name": backing(id),
                "file": { "driver": "file", "filename": image },
            }))?;
        }
        if matches!(self, Self::Serial) {
            qmp.execute(
                "chardev-add",
                json!({ "id": backing(id), "backend": { "type": "null", "data": {} } }),
            )?;
        }
        if matches!(self, Self::Network) {
            let arguments = json!({ "type": "hubport", "id": backing(id), "hubid": 99 });
            qmp.execute("netdev_add", arguments)?;
        }
        let outcome = qmp.device_add(self.properties(id, port));
        if outcome.is_err() {
            // The first error is the one to tell.
            let _ = self.remove_backing(qmp, id);
        }
        outcome
    }

    /// Pulls it out and waits until it is gone.
    pub fn unplug(&self, qmp: &Qmp, id: &str) -> Result<()> {
        qmp.device_del(id, Duration::from_secs(30))?;
        self.remove_backing(qmp, id)
    }

    fn remove_backing(&self, qmp: &Qmp, id: &str) -> Result<()> {
        let id = backing(id);
        match self {
            Self::Storage { .. } => qmp.blockdev_del(&id),
            Self::Serial => qmp.execute("chardev-remove", json!({ "id": id })).map(drop),
            Self::Network => qmp.execute("netdev_del", json!({ "id": id })).map(drop),
            Self::Keyboard | Self::Mouse | Self::Hub => Ok(()),
        }
    }

    fn properties(&self, id: &str, port: Option<&str>) -> Value {
        let (driver, key, value) = match self {
            Self::Storage { .. } => ("usb-storage", "drive", backing(id)),
            Self::Keyboard => ("usb-kbd", "", String::new()),
            Self::Mouse => ("usb-mouse", "", String::new()),
            Self::Hub => ("usb-hub", "", String::new()),
            Self::Network => ("usb-net", "netdev", backing(id)),
            Self::Serial => ("usb-serial", "chardev", backing(id)),
        };
        let mut properties = json!({ "driver": driver, "id": id, "bus": USB_BUS });
        if !key.is_empty() {
            properties[key] = value.into();
        }
        if matches!(self, Self::Hub) {
            properties["port-power"] = true.into();
        }
        if let Self::Storage { serial, .. } = self {
            properties["serial"] = serial.as_str().into();
        }
        if let Some(port) = port {
            properties["port"] = port.into();
        }
        properties
    }
}

fn backing(id: &str) -> String {
    format!("{id}-backing")
}
