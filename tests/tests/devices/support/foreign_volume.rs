//! State volumes that somebody else made.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{Device, Disk, Gpt, NewPartition, Partition, partition_types};
use holdfast_tests::Workshop;

use super::tools::{inside_tree, run};
use super::trial::build;

/// What the golden image calls the state volume.
pub const LABEL: &str = "holdfast_var";
/// The proof of origin at the top of a state volume.
const MARKER: &str = "holdfast-marker.toml";
/// Left in every foreign volume.
const BAIT: &str = "lib/holdfast/enroller/bait";

/// What the maker of a foreign volume pretends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pretence {
    /// Nothing.
    None,
    /// A marker in the right form for the right volume, whose code is made up.
    Marker,
}

/// A disk image with one partition: a LUKS volume that the TPM of `device` opens after a good boot,
/// made by somebody who has the TPM in his hands and knows the values of its registers. Everything
/// that it is sealed to can be known to anybody.
pub fn luks_for_tpm_of(
    workshop: &Workshop,
    device: &Device,
    secure_boot_pcr: &str,
    pretence: Pretence,
    folder: &Path,
) -> Result<Disk> {
    let folder = fresh(folder)?;
    let maker = Maker {
        port: two_ports()?,
        secure_boot_pcr,
        image: folder.join("luks.raw"),
        definitions: folder.join("repart.d"),
        bait: folder.join("bait"),
        marker: folder.join("marker.toml"),
        public_key: folder.join("pcr.pub"),
    };
    fs::create_dir(&maker.definitions)?;
    fs::write(&maker.bait, "foreign")?;
    fs::copy(build().join("keys/release/pcr.pub"), &maker.public_key)?;
    let log = folder.join("swtpm.log");
    let tpm = device.tpm().start_tcp(workshop.toolchain(), maker.port, &log)?;
    let mut disk = maker.make(Pretence::None)?;
    if pretence == Pretence::Marker {
        // Made again from the same seed, the volume has the same UUID, now known.
        let digits = "5a".repeat(32);
        let uuid = luks_uuid(&disk)?;
        let text = format!(
            "format = 1\nluks_uuid = \"{uuid}\"\nrandom = \"{digits}\"\nhmac = \"{digits}\"\n"
        );
        fs::write(&maker.marker, text)?;
        fs::remove_file(&maker.image)?;
        disk = maker.make(pretence)?;
        ensure!(luks_uuid(&disk)? == uuid, "the seed does not decide about the volume's UUID");
    }
    drop(tpm);
    Ok(disk)
}

struct Maker<'a> {
    port: u16,
    secure_boot_pcr: &'a str,
    image: PathBuf,
    definitions: PathBuf,
    bait: PathBuf,
    marker: PathBuf,
    public_key: PathBuf,
}

impl Maker<'_> {
    fn make(&self, pretence: Pretence) -> Result<Disk> {
        let mut definition = format!(
            "[Partition]\nType=var\nLabel={LABEL}\nFormat=ext4\nEncrypt=tpm2\n\
             SizeMinBytes=64M\nSizeMaxBytes=64M\nCopyFiles={}:/{BAIT}\n",
            self.bait.display()
        );
        if pretence == Pretence::Marker {
            let line = format!("CopyFiles={}:/{MARKER}\n", self.marker.display());
            definition.push_str(&line);
        }
        fs::write(self.definitions.join("var.conf"), definition)?;
        let zero = "0".repeat(64);
        run(inside_tree("systemd-repart")
            .args(["--offline=yes", "--empty=create", "--size=auto", "--dry-run=no", "--no-pager"])
            .arg("--seed=9d4c1f0e6a1b4b0f8f3c5b7e2a90d6c4")
            .arg(format!("--definitions={}", self.definitions.display()))
            .arg(format!("--tpm2-device=swtpm:host=127.0.0.1,port={}", self.port))
            .arg(format!("--tpm2-pcrs=7:sha256={}+12:sha256={zero}", self.secure_boot_pcr))
            .arg(format!("--tpm2-public-key={}", self.public_key.display()))
            .arg("--tpm2-public-key-pcrs=11")
            .arg(&self.image))?;
        Ok(Disk::open(&self.image)?)
    }
}

/// The UUID in a LUKS2 header (LUKS2 On-Disk Format Specification 1.1, 2.1).
fn luks_uuid(disk: &Disk) -> Result<String> {
    let header = disk.read(disk.partition(LABEL)?.offset, 4096)?;
    ensure!(header.starts_with(b"LUKS\xba\xbe\0\x02"), "not a LUKS2 volume");
    let text = header[168..208].split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8(text.to_vec())?)
}

/// A disk image with one partition: a plain ext4 file system with the state volume's label.
pub fn plain_ext4(folder: &Path) -> Result<Disk> {
    let folder = fresh(folder)?;
    let content = folder.join("content");
    let bait = content.join(BAIT);
    fs::create_dir_all(bait.parent().context("the bait has a folder")?)?;
    fs::write(bait, "foreign")?;
    let file_system = folder.join("ext4.raw");
    run(inside_tree("mkfs.ext4")
        .args(["-q", "-L", LABEL, "-d"])
        .args([&content, &file_system])
        .arg("64M"))?;
    let disk = Disk::blank(&folder.join("plain.raw"), 70 << 20)?;
    let part = NewPartition { label: LABEL, type_id: partition_types::VAR, size: 64 << 20 };
    Gpt::create(disk.path(), &[part])?;
    disk.write(disk.partition(LABEL)?.offset, &fs::read(&file_system)?)?;
    Ok(disk)
}

/// Puts the volume on `foreign` in the place of the device's own.
pub fn put_in_place(device: &Device, foreign: &Disk) -> Result<()> {
    let from = foreign.partition(LABEL)?;
    let to = device.disk().partition(LABEL)?;
    ensure!(from.size <= to.size, "the foreign volume is larger than the device's own");
    let content = content(foreign, &from)?;
    Ok(device.disk().write(to.offset, &content)?)
}

fn content(disk: &Disk, partition: &Partition) -> Result<Vec<u8>> {
    Ok(disk.read(partition.offset, usize::try_from(partition.size)?)?)
}

fn fresh(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    // Programs inside the tools tree know it under this name only.
    folder.canonicalize().with_context(|| format!("find {}", folder.display()))
}

/// A free port whose successor is free, too: a software TPM takes both.
fn two_ports() -> Result<u16> {
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.1:0")?;
        let port = first.local_addr()?.port();
        if let Some(next) = port.checked_add(1)
            && TcpListener::bind(("127.0.0.1", next)).is_ok()
        {
            return Ok(port);
        }
    }
    anyhow::bail!("no two neighbouring ports are free")
}
