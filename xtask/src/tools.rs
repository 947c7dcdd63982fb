//! The tools that build and boot the image, in versions of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    host,
    paths::Paths,
    process,
    stamp::{Inputs, unless_fresh},
};

const RELEASE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// mkosi and a Debian tree with the image tools, QEMU and its firmware.
pub struct Tools {
    paths: Paths,
    tree: PathBuf,
}

impl Tools {
    /// Fetches and builds the tools where they are not there yet.
    pub fn provide(paths: &Paths) -> Result<Self> {
        let tools = Self { paths: paths.clone(), tree: paths.build.join("tools/tree") };
        tools.write_apt_sources()?;
        let mkosi = paths.build.join("tools/mkosi");
        unless_fresh(&mkosi, RELEASE, || {
            process::step("fetch mkosi", || tools.fetch_mkosi(&mkosi))
        })?;
        let definition = paths.repository.join("image/tools");
        let inputs = Inputs::default().path(&definition)?.digest();
        unless_fresh(&tools.tree, &inputs, || {
            process::step("build the tools tree (QEMU, firmware, image tools)", || {
                tools.mkosi(&definition, &paths.build.join("tools"), &[])
            })
        })?;
        Ok(tools)
    }

    fn sandbox(&self) -> PathBuf {
        self.paths.build.join("mkosi/sandbox")
    }

    /// Debian's archive and security updates, from the host's own mirror.
    fn write_apt_sources(&self) -> Result<()> {
        let mirrors = host::debian_mirrors()?;
        let block = |address: &str, suites: &str| {
            format!(
                "Types: deb\nURIs: {address}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"
            )
        };
        let folder = self.sandbox().join("etc/apt/sources.list.d");
        fs::create_dir_all(&folder)?;
        let text = format!(
            "{}\n{}",
            block(&mirrors.archive, &format!("{RELEASE} {RELEASE}-updates")),
            block(&mirrors.security, &format!("{RELEASE}-security"))
        );
        fs::write(folder.join("mkosi.sources"), text).context("write apt sources")
    }

    /// mkosi is pure Python; its package is unpacked and run in place.
    fn fetch_mkosi(&self, place: &Path) -> Result<()> {
        let work = self.paths.build.join("mkosi/apt");
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(work.join(folder))?;
        }
        let log = self.paths.build.join("log/mkosi-fetch.log");
        let options = [
            format!(
                "Dir::Etc::SourceList={}",
                self.sandbox().join("etc/apt/sources.list.d/mkosi.sources").display()
            ),
            "Dir::Etc::SourceParts=/dev/null".into(),
            format!("Dir::State::Lists={}", work.join("lists").display()),
            format!("Dir::Cache={}", work.join("cache").display()),
            "Debug::NoLocking=1".into(),
            "APT::Sandbox::User=".into(),
            "Acquire::Languages=none".into(),
        ];
        let apt = |verb: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(options.iter().flat_map(|o| ["-o", o])).args(verb).current_dir(&work);
            process::run(&mut command, &log)
        };
        apt(&["update"])?;
        apt(&["download", "mkosi"])?;
        let package = fs::read_dir(&work)?
            .filter_map(|e| Some(e.ok()?.path()))
            .find(|p| p.extension().is_some_and(|e| e == "deb"))
            .context("apt downloaded no package of mkosi")?;
        let _ = fs::remove_dir_all(place);
        // dpkg-deb makes the last folder only.
        fs::create_dir_all(place)?;
        process::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(place), &log)
    }

    /// Builds what `definition` says into `output`.
    pub fn mkosi(&self, definition: &Path, output: &Path, arguments: &[String]) -> Result<()> {
        let work = self.paths.build.join("mkosi");
        let mut command = Command::new("/usr/bin/python3");
        command
            .env("PYTHONPATH", self.paths.build.join("tools/mkosi/usr/lib/python3/dist-packages"))
            .args(["-m", "mkosi", "--force", "--directory"])
            .arg(definition)
            .arg("--output-directory")
            .arg(output)
            .arg("--sandbox-tree")
            .arg(self.sandbox())
            .args(arguments);
        for (option, folder) in [
            ("--workspace-directory", "work"),
            ("--cache-directory", "cache"),
            ("--package-cache-dir", "packages"),
        ] {
            fs::create_dir_all(work.join(folder))?;
            command.arg(option).arg(work.join(folder));
        }
        fs::create_dir_all(output)?;
        let name =
            definition.file_name().map_or("image".into(), |n| n.to_string_lossy().into_owned());
        process::run(command.arg("build"), &self.paths.build.join(format!("log/mkosi-{name}.log")))
    }

    /// The tree, for mkosi.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// A program of the tree, run inside it; it sees the build folder under its own path.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("bwrap");
        command
            .arg("--bind")
            .arg(&self.tree)
            .args(["/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind"])
            .args([&self.paths.build, &self.paths.build])
            .args(["--setenv", "PATH", "/usr/sbin:/usr/bin", "--setenv", "LC_ALL", "C.UTF-8", "--"])
            .arg(program);
        command
    }

    /// A file of the tree that must be there.
    pub fn file(&self, path: &str) -> Result<PathBuf> {
        let file = self.tree.join(path.trim_start_matches('/'));
        if !file.exists() {
            bail!("the tools tree lacks {path}; remove {} and run this again", self.tree.display());
        }
        Ok(file)
    }

    /// A file of the tree under the path that programs inside the tree see.
    pub fn in_tree(&self, path: &str) -> Result<PathBuf> {
        self.file(path).map(|_| PathBuf::from(path))
    }
}
