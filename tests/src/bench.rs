use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use holdfast_qemu::{Device, DeviceBuilder};
use serde_json::Value;

use crate::{Client, Cloud, NewSite, Ports, Site, Workshop};

/// A folder with a connector, the site that points to it, and devices.
#[derive(Debug)]
pub struct Bench {
    workshop: Workshop,
    folder: PathBuf,
    ports: Ports,
    client: Client,
    /// Nothing while it is stopped.
    cloud: Option<Cloud>,
    site: Site,
}

/// Owner of every device at a bench.
const TENANT: &str = "demo";

impl Bench {
    /// A bench with nothing on it but a new connector that listens at `ports`. What was in
    /// `folder` is gone.
    pub fn fresh(workshop: &Workshop, folder: &Path, ports: Ports) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let data = data_of(folder);
        let client = Client::new(workshop.cloud_program(), &data);
        let recovery_key = client.new_operator(&operator_of(folder))?;
        let site = client.new_site(NewSite {
            tenant: TENANT,
            ports,
            key: &workshop.site_key(),
            recovery_key: &recovery_key,
            output: &site_of(folder),
        })?;
        Self::with(workshop, folder, ports, client, site)
    }

    /// The bench that was set up in `folder` before, with its connector running again.
    pub fn open(workshop: &Workshop, folder: &Path) -> Result<Self> {
        let data = data_of(folder);
        let ports = Ports::of_data(&data)?;
        ports.check_free().context("the devices of this bench know the connector by this port")?;
        let client = Client::new(workshop.cloud_program(), &data);
        Self::with(workshop, folder, ports, client, Site::at(&site_of(folder))?)
    }

    /// True if a bench was set up in `folder`.
    pub fn is_at(folder: &Path) -> bool {
        Ports::of_data(&data_of(folder)).is_ok() && Site::at(&site_of(folder)).is_ok()
    }

    fn with(
        workshop: &Workshop,
        folder: &Path,
        ports: Ports,
        client: Client,
        site: Site,
    ) -> Result<Self> {
        let mut bench = Self {
            workshop: workshop.clone(),
            folder: folder.to_owned(),
            ports,
            client,
            cloud: None,
            site,
        };
        bench.start_cloud()?;
        Ok(bench)
    }

    /// The connector's commands; they need it to run.
    pub fn cloud(&self) -> &Client {
        &self.client
    }

    /// The connector's ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// What the build has made.
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// The site of the devices made here.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Starts the connector, if it does not run.
    pub fn start_cloud(&mut self) -> Result<()> {
        if self.cloud.is_none() {
            let program = self.workshop.cloud_program();
            self.cloud = Some(Cloud::start(program, self.client.data(), self.ports)?);
        }
        Ok(())
    }

    /// Stops the connector in good order: devices find nobody there.
    pub fn stop_cloud(&mut self) -> Result<()> {
        match self.cloud.take() {
            Some(cloud) => cloud.stop().map(drop),
            None => Ok(()),
        }
    }

    /// Accepts devices that boot the image of a profile.
    pub fn publish(&self, profile: &str) -> Result<Value> {
        self.client.publish(&self.workshop.measurement(profile))
    }

    /// Makes a device with the image of a profile and this bench's site. The connector does not
    /// know it.
    pub fn make_device(&self, name: &str, profile: &str, serial: &str) -> Result<Device> {
        self.equip(self.workshop.device(&self.folder.join(name), profile, serial)?)
    }

    /// The same for a device of a special make.
    pub fn equip(&self, builder: DeviceBuilder) -> Result<Device> {
        let device = builder.build()?;
        self.site.install(&device)?;
        Ok(device)
    }

    /// The device that was made here under this name.
    pub fn open_device(&self, name: &str) -> Result<Device> {
        Ok(Device::open(&self.folder.join(name), self.workshop.toolchain())?)
    }

    /// The operator's private key, to whose public half devices wrap their recovery keys.
    pub fn operator_key(&self) -> PathBuf {
        operator_of(&self.folder)
    }

    /// Registers a device by its serial number and endorsement key.
    pub fn register(&self, device: &Device) -> Result<Value> {
        self.client.register(&device.system().serial, &device.ek()?.ek_sha256)
    }
}

fn data_of(folder: &Path) -> PathBuf {
    folder.join("cloud")
}

fn operator_of(folder: &Path) -> PathBuf {
    folder.join("operator.pem")
}

fn site_of(folder: &Path) -> PathBuf {
    folder.join("site.toml")
}
