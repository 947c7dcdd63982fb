use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{
    Device, DeviceBuilder, KeyOwner, LocalCa, SecureBootKeys, Toolchain, enroll_keys,
};
use sha2::{Digest, Sha256};
use uuid::{Uuid, uuid};

/// What the build has made: images, keys, tools and the connector.
#[derive(Debug, Clone)]
pub struct Workshop {
    build: PathBuf,
    cloud_program: PathBuf,
    toolchain: Toolchain,
    tpm_maker: LocalCa,
}

/// A signed site configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    document: PathBuf,
    signature: PathBuf,
}

impl Site {
    /// The configuration at `document`, with its signature beside it.
    pub fn at(document: &Path) -> Result<Self> {
        let mut signature = document.as_os_str().to_owned();
        signature.push(".sig");
        let site = Self { document: document.to_owned(), signature: signature.into() };
        for file in [&site.document, &site.signature] {
            ensure!(file.is_file(), "{} is missing", file.display());
        }
        Ok(site)
    }

    /// site.toml
    pub fn document(&self) -> &Path {
        &self.document
    }

    /// site.toml.sig
    pub fn signature(&self) -> &Path {
        &self.signature
    }

    /// Puts it where a device looks for it: on its EFI system partition.
    pub fn install(&self, device: &Device) -> Result<()> {
        let esp = device.disk().esp()?;
        esp.write_from(&self.document, SITE_ON_ESP)?;
        esp.write_from(&self.signature, &format!("{SITE_ON_ESP}.sig"))?;
        esp.close()?;
        Ok(())
    }
}

const SITE_ON_ESP: &str = "holdfast/site.toml";
/// Owner of the Secure Boot variables that this project enrols; names nothing else.
const KEY_OWNER: Uuid = uuid!("4ac1e7a5-6d8c-4c3f-9e0e-2f7f7b0c51d3");
const DISK_SIZE: u64 = 4 << 30;

impl Workshop {
    /// What was built in the folder `build`, and the connector's program.
    pub fn open(build: &Path, cloud_program: &Path) -> Result<Self> {
        Ok(Self {
            toolchain: Toolchain::from_tree(&build.join("tools/tree"))?,
            tpm_maker: LocalCa::at(&build.join("keys/tpm-maker"))?,
            build: build.to_owned(),
            cloud_program: cloud_program.to_owned(),
        })
    }

    /// The same by the variables that `cargo xtask test` sets: `HOLDFAST_BUILD` and
    /// `HOLDFAST_CLOUD_PROGRAM`.
    pub fn from_environment() -> Result<Self> {
        let variable = |name: &str| {
            env::var_os(name).map(PathBuf::from).with_context(|| {
                format!("{name} is not set: run these tests with `cargo xtask test`")
            })
        };
        Self::open(&variable("HOLDFAST_BUILD")?, &variable("HOLDFAST_CLOUD_PROGRAM")?)
    }

    /// QEMU and its companions.
    pub fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// The connector's program.
    pub fn cloud_program(&self) -> &Path {
        &self.cloud_program
    }

    /// A product of an image profile: `disk.raw`, `measurement.json`, `holdfast.efi`, ...
    pub fn image(&self, profile: &str, product: &str) -> PathBuf {
        self.build.join("image").join(profile).join(product)
    }

    /// What devices with an image of this profile will have measured.
    pub fn measurement(&self, profile: &str) -> PathBuf {
        self.image(profile, "measurement.json")
    }

    /// The certificate of the platform key.
    pub fn platform_certificate(&self) -> PathBuf {
        self.build.join("keys/shared/platform.crt")
    }

    /// The key that signs site configurations.
    pub fn site_key(&self) -> PathBuf {
        self.build.join("keys/shared/site.key")
    }

    /// The authority that certifies the software TPMs.
    pub fn tpm_maker(&self) -> &LocalCa {
        &self.tpm_maker
    }

    /// Firmware variables with Secure Boot on and the keys of an image profile enrolled.
    pub fn firmware_variables(&self, profile: &str) -> Result<PathBuf> {
        self.firmware_variables_with(profile, &[])
    }

    /// The same after somebody has enrolled more certificates in `db`: what the profile's keys sign
    /// still boots, and PCR 7 is another.
    pub fn firmware_variables_with(&self, profile: &str, more: &[PathBuf]) -> Result<PathBuf> {
        let platform = self.platform_certificate();
        let keys = SecureBootKeys {
            owner: KeyOwner(KEY_OWNER),
            platform_key: platform.clone(),
            key_exchange_keys: vec![platform],
            db: [&[self.build.join("keys").join(profile).join("db.crt")], more].concat(),
        };
        let folder = self.build.join("firmware");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let made_from = digest_of(
            keys.db.iter().chain([&keys.platform_key, &self.toolchain.ovmf_vars_template]),
        )?;
        let variables = folder.join(format!("{profile}-{}.fd", &made_from[..16]));
        if !variables.exists() {
            let unfinished = folder.join(format!("{profile}-{}.unfinished", std::process::id()));
            enroll_keys(&self.toolchain, &keys, &unfinished)?;
            fs::rename(&unfinished, &variables)
                .with_context(|| format!("write {}", variables.display()))?;
        }
        Ok(variables)
    }

    /// The makings of a device in `folder` as it leaves a factory: the golden image of a profile
    /// on its disk, that profile's keys in its firmware, a TPM and a serial number.
    pub fn device(&self, folder: &Path, profile: &str, serial: &str) -> Result<DeviceBuilder> {
        let disk = self.image(profile, "disk.raw");
        ensure!(
            disk.is_file(),
            "{} is missing: build it with `cargo xtask image --profile {profile}`",
            disk.display()
        );
        Ok(DeviceBuilder::new(folder, &self.toolchain)
            .image(&disk)
            .disk_size(DISK_SIZE)
            .firmware_variables(&self.firmware_variables(profile)?)
            .local_ca(&self.tpm_maker)
            .serial(serial))
    }
}

fn digest_of<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<String> {
    let mut digest = Sha256::new();
    for file in files {
        let content = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        digest.update(Sha256::digest(content));
    }
    Ok(hex::encode(digest.finalize()))
}
