//! `cargo xtask image`: the golden image, from Debian's packages to a bootable disk.

pub mod cpio;
pub mod disk;
pub mod initrd;
pub mod layout;
pub mod root;
pub mod uki;
pub mod verity;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    binaries,
    keys::{self, ProfileKeys},
    paths::Paths,
    process::{self, step},
    stamp::{Inputs, unless_fresh},
    tools::Tools,
};
use layout::{Besides, Layout};
use root::Root;
use uki::PhaseValue;

/// Profiles of the image.
pub const PROFILES: [&str; 4] = ["release", "debug", "test", "bench"];
/// Those that the tests boot.
pub const TESTED: [&str; 3] = ["release", "debug", "test"];

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Raised when an older release must never boot again (anti-rollback gate).
const SECURITY_VERSION: u64 = 1;
const LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/// The products of a profile.
pub struct Image {
    /// The golden disk.
    pub disk: PathBuf,
    /// What the TPM will have measured, for `holdfast-cloud release publish`.
    pub measurement: PathBuf,
    /// The signed UKI.
    pub uki: PathBuf,
    /// The signed boot loader.
    pub loader: PathBuf,
}

/// What `release publish` reads.
#[derive(Serialize)]
struct ReleaseMeasurement<'a> {
    format: u32,
    name: &'a str,
    version: &'a str,
    profile: &'a str,
    security_version: u64,
    pcr11: Vec<PhaseValue>,
    uki_sha256: String,
    root_hash: String,
}

/// Sizes in bytes.
#[derive(Debug, Serialize, serde::Deserialize)]
pub struct Sizes {
    /// Root file system.
    pub root: u64,
    /// Hash tree.
    pub verity: u64,
    /// UKI.
    pub uki: u64,
    /// Initrd in it.
    pub initrd: u64,
    /// Our device programs, by name.
    pub programs: BTreeMap<String, u64>,
}

/// Builds what of the profiles is not up to date.
pub fn build(paths: &Paths, profiles: &[&str]) -> Result<BTreeMap<String, Image>> {
    let layout = Layout::read(&paths.repository.join("image/layout.toml"))?;
    let programs = binaries::device(paths)?;
    let init = binaries::init(paths)?;
    let installer = binaries::installer(paths)?;
    binaries::check_device_dependencies(paths)?;
    let tools = Tools::provide(paths)?;
    let base = base(paths, &tools)?;
    let mut images = BTreeMap::new();
    for &profile in profiles {
        if !PROFILES.contains(&profile) {
            bail!("no image profile `{profile}`; there are {}", PROFILES.join(", "));
        }
        let builder = Builder {
            paths,
            tools: &tools,
            layout: &layout,
            base: &base,
            programs: &programs,
            init: &init,
            profile,
        };
        images.insert(profile.to_owned(), builder.build()?);
    }
    let beside = paths.build.join("image/holdfast-install");
    fs::copy(&installer, &beside)
        .with_context(|| format!("copy {} to {}", installer.display(), beside.display()))?;
    Ok(images)
}

/// Debian's packages, trimmed, as one archive.
fn base(paths: &Paths, tools: &Tools) -> Result<PathBuf> {
    let definition = paths.repository.join("image");
    let users = paths.repository.join("rootfs-overlay/usr/lib/sysusers.d");
    let output = paths.build.join("image/base");
    let product = output.join("root.cpio");
    let inputs = Inputs::default()
        .path(&definition.join("mkosi.conf"))?
        .path(&definition.join("mkosi.postinst"))?
        .path(&definition.join("tools"))?
        .path(&users)?
        .digest();
    unless_fresh(&product, &inputs, || {
        step("install Debian's packages into the root file system", || {
            tools.mkosi(
                &definition,
                &output,
                &[
                    format!("--tools-tree={}", tools.tree().display()),
                    format!("--extra-tree={}:/usr/lib/sysusers.d", users.display()),
                ],
            )
        })
    })?;
    Ok(product)
}

struct Builder<'a> {
    paths: &'a Paths,
    tools: &'a Tools,
    layout: &'a Layout,
    base: &'a Path,
    programs: &'a Path,
    init: &'a Path,
    profile: &'a str,
}

impl Builder<'_> {
    fn build(&self) -> Result<Image> {
        let output = self.paths.image(self.profile);
        fs::create_dir_all(&output)?;
        let keys = keys::of_profile(self.paths, self.profile)?;
        let shared = keys::shared(self.paths)?;
        let image = Image {
            disk: output.join("disk.raw"),
            measurement: output.join("measurement.json"),
            uki: output.join("holdfast.efi"),
            loader: output.join("systemd-bootx64.efi"),
        };
        let mut inputs = Inputs::default()
            .value(VERSION)
            .value(fs::read(self.base.with_file_name("root.cpio.stamp"))?)
            .path(&self.paths.repository.join("image"))?
            .path(&self.paths.repository.join("rootfs-overlay"))?
            .path(&self.paths.repository.join("xtask/src/image"))?
            .path(self.init)?
            .path(&keys.db.public)?
            .path(&keys.pcr.public)?
            .path(&shared.site.public)?;
        for program in binaries::DEVICE {
            inputs = inputs.path(&self.programs.join(program.name))?;
        }
        if let Some(besides) = self.layout.profile.get(self.profile) {
            for name in &besides.programs {
                inputs = inputs.path(&binaries::load(self.paths, name, besides.measures)?)?;
            }
        }
        unless_fresh(&image.disk, &inputs.digest(), || {
            step(&format!("assemble the {} image", self.profile), || {
                self.assemble(&image, &output, &keys, &shared.site.public)
            })
        })?;
        Ok(image)
    }

    fn assemble(
        &self,
        image: &Image,
        output: &Path,
        keys: &ProfileKeys,
        site_key: &Path,
    ) -> Result<()> {
        let log = self.paths.build.join(format!("log/image-{}.log", self.profile));
        let epoch = source_date_epoch(self.paths)?;
        let (root_tar, root, tree) =
            (output.join("root.tar"), output.join("root.erofs"), output.join("root.verity"));
        let mut files = Root::read(self.base)?;
        let os_release = self.os_release(files.file("usr/lib/os-release")?)?;
        self.put_ours(&mut files, &os_release, epoch, keys, site_key)?;
        files.write_tar(epoch, &root_tar)?;
        let _ = fs::remove_file(&root);
        let uuid = self.uuid("root file system");
        process::run(
            self.tools
                .command("mkfs.erofs")
                .args(["--quiet", "-zzstd,level=9", "-C65536", "--all-time", "-T"])
                .arg(epoch.to_string())
                .args(["-U", &uuid, "--tar=f"])
                .args([&root, &root_tar]),
            &log,
        )?;
        fs::remove_file(&root_tar)?;
        let root_hash = verity::format(self.tools, &root, &tree, &self.identity(), &log)?;
        let signature = verity::signature(self.tools, &root_hash, &keys.db, output, &log)?;

        let (uname, kernel) = initrd::kernel(&files)?;
        let initrd = initrd::build(&files, &self.layout.initrd, &fs::read(self.init)?)?;
        let (kernel_file, initrd_raw, initrd_file, os_release_file) = (
            output.join("vmlinuz"),
            output.join("initrd.cpio"),
            output.join("initrd.cpio.zst"),
            output.join("os-release"),
        );
        fs::write(&kernel_file, kernel)?;
        fs::write(&initrd_raw, initrd)?;
        fs::write(&os_release_file, &os_release)?;
        process::run(
            self.tools
                .command("zstd")
                .args(["-q", "-f", "-19", "-o"])
                .args([&initrd_file, &initrd_raw]),
            &log,
        )?;
        let command_line = self.layout.command_line(self.profile, &root_hash)?;
        let pcr11 = uki::build(
            self.tools,
            &uki::Uki {
                kernel: &kernel_file,
                initrd: &initrd_file,
                command_line: &command_line,
                os_release: &os_release_file,
                uname: &uname,
                phases: &self.layout.measured_boot.phases,
            },
            keys,
            &image.uki,
        )?;
        uki::sign(self.tools, &self.tools.in_tree(LOADER)?, keys, &image.loader, &log)?;
        let uki_bytes = fs::read(&image.uki)?;
        let measurement = ReleaseMeasurement {
            format: 1,
            name: "holdfast",
            version: VERSION,
            profile: self.profile,
            security_version: SECURITY_VERSION,
            pcr11,
            uki_sha256: hex::encode(Sha256::digest(&uki_bytes)),
            root_hash: root_hash.clone(),
        };
        fs::write(&image.measurement, serde_json::to_vec_pretty(&measurement)?)?;
        self.write_sizes(output, &root, &tree, &image.uki, &initrd_file)?;
        let loader = fs::read(&image.loader)?;
        disk::write(
            self.layout,
            &disk::Contents {
                identity: &self.identity(),
                label: &format!("holdfast_{VERSION}"),
                root_hash: &root_hash,
                root: &root,
                tree: &tree,
                signature: &signature,
                esp: &[
                    ("EFI/BOOT/BOOTX64.EFI".into(), loader.clone()),
                    ("EFI/systemd/systemd-bootx64.efi".into(), loader),
                    (format!("EFI/Linux/holdfast_{VERSION}+3.efi"), uki_bytes),
                    (
                        "loader/loader.conf".into(),
                        b"timeout 0\neditor no\nauto-entries no\nauto-firmware no\n".to_vec(),
                    ),
                ],
            },
            &image.disk,
        )
    }

    fn write_sizes(
        &self,
        output: &Path,
        root: &Path,
        tree: &Path,
        uki: &Path,
        initrd: &Path,
    ) -> Result<()> {
        let size = |path: &Path| -> Result<u64> { Ok(fs::metadata(path)?.len()) };
        let mut programs = BTreeMap::from([("holdfast-init".to_owned(), size(self.init)?)]);
        for program in binaries::DEVICE {
            programs.insert(program.name.to_owned(), size(&self.programs.join(program.name))?);
        }
        let sizes = Sizes {
            root: size(root)?,
            verity: size(tree)?,
            uki: size(uki)?,
            initrd: size(initrd)?,
            programs,
        };
        fs::write(output.join("sizes.json"), serde_json::to_vec_pretty(&sizes)?)?;
        Ok(())
    }

    fn identity(&self) -> String {
        format!("{VERSION} {}", self.profile)
    }

    fn uuid(&self, what: &str) -> String {
        let id = hex::encode(&Sha256::digest(format!("holdfast {} {what}", self.identity()))[..16]);
        format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
    }

    /// Debian's `os-release` with what image this is; systemd-boot sorts by it.
    fn os_release(&self, base: &[u8]) -> Result<String> {
        let own = [
            "PRETTY_NAME=",
            "NAME=",
            "ID=",
            "ID_LIKE=",
            "HOME_URL=",
            "SUPPORT_URL=",
            "BUG_REPORT_URL=",
            "VERSION_ID=",
        ];
        let kept: String = std::str::from_utf8(base)?
            .lines()
            .filter(|l| !own.iter().any(|k| l.starts_with(k)))
            .flat_map(|l| [l, "\n"])
            .collect();
        Ok(format!(
            "ID=holdfast\nID_LIKE=debian\nNAME=Holdfast\nPRETTY_NAME=\"Holdfast {VERSION} ({0})\"\nVERSION_ID={VERSION}\nIMAGE_ID=holdfast\nIMAGE_VERSION={VERSION}\nVARIANT_ID={0}\n{kept}",
            self.profile
        ))
    }

    fn put_besides(&self, root: &mut Root, besides: &Besides) -> Result<()> {
        for tree in &besides.trees {
            root.put_tree(&self.paths.repository.join("image/profiles").join(tree))?;
        }
        for path in &besides.from_tools {
            let file = self.tools.tree().join(path);
            let content = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            root.put(path, content, true);
        }
        for name in &besides.programs {
            let content = fs::read(binaries::load(self.paths, name, besides.measures)?)?;
            root.put(&format!("usr/bin/{name}"), content, true);
        }
        Ok(())
    }

    fn put_ours(
        &self,
        root: &mut Root,
        os_release: &str,
        epoch: u64,
        keys: &ProfileKeys,
        site_key: &Path,
    ) -> Result<()> {
        root.put_tree(&self.paths.repository.join("rootfs-overlay"))?;
        let besides = self.layout.profile.get(self.profile);
        if let Some(besides) = besides {
            self.put_besides(root, besides)?;
        }
        if !besides.is_some_and(|besides| besides.gadgets) {
            root.remove_tree(layout::GADGETS);
        }
        for program in binaries::DEVICE {
            let content = fs::read(self.programs.join(program.name))?;
            root.put(&format!("{}/{}", program.folder, program.name), content, true);
        }
        for (name, text) in self.layout.repart_definitions() {
            root.put(&format!("usr/lib/holdfast/repart.d/{name}"), text, false);
        }
        root.put("usr/lib/os-release", os_release, false);
        root.put(
            "usr/lib/holdfast/release.toml",
            format!(
                "version = \"{VERSION}\"\nprofile = \"{}\"\nsecurity_version = {SECURITY_VERSION}\nbuild_time = {epoch}\n",
                self.profile
            ),
            false,
        );
        // All but the root hash, which is not known before the root file system is.
        let expected = self.layout.command_line(self.profile, "")?;
        root.put("usr/lib/holdfast/cmdline", format!("{expected}\n"), false);
        root.put("usr/lib/holdfast/keys/site.pub", fs::read(site_key)?, false);
        root.put("usr/lib/holdfast/keys/pcr.pub", fs::read(&keys.pcr.public)?, false);
        Ok(())
    }
}

/// Time of the last commit, the build's clock.
fn source_date_epoch(paths: &Paths) -> Result<u64> {
    if let Ok(value) = std::env::var("SOURCE_DATE_EPOCH") {
        return value.parse().context("SOURCE_DATE_EPOCH is no number of seconds");
    }
    let text = process::output(
        Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(&paths.repository),
    )?;
    String::from_utf8(text)?.trim().parse().context("git gave no commit time")
}
