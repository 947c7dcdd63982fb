use std::path::{Path, PathBuf};

use crate::process::find_program;
use crate::{Error, Result};

/// Where the programs and files are that a virtual device is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// QEMU for x86-64: the program and the arguments that it always needs. QEMU may be run out of
    /// another root file system through that system's dynamic loader.
    pub qemu_command: Vec<String>,
    /// Environment variables that QEMU needs.
    pub qemu_env: Vec<(String, String)>,
    /// OVMF with Secure Boot and system management mode.
    pub ovmf_code: PathBuf,
    /// OVMF's empty variable store.
    pub ovmf_vars_template: PathBuf,
    /// virt-fw-vars: the program and the arguments that it always needs.
    pub virt_fw_vars: Vec<String>,
    /// The software TPM.
    pub swtpm: PathBuf,
    /// The program that makes a software TPM's state.
    pub swtpm_setup: PathBuf,
    /// The program that issues the certificates of software TPMs.
    pub swtpm_localca: PathBuf,
}

impl Toolchain {
    /// Everything from the packages of this machine.
    pub fn from_host() -> Result<Self> {
        let mut search = Search::default();
        let toolchain = Self {
            qemu_command: vec![search.program("qemu-system-x86_64")],
            qemu_env: Vec::new(),
            ovmf_code: search.file(&OVMF_CODE.map(|path| Path::new("/").join(path))),
            ovmf_vars_template: search.file(&OVMF_VARS.map(|path| Path::new("/").join(path))),
            virt_fw_vars: vec![search.program("virt-fw-vars")],
            swtpm: search.program("swtpm").into(),
            swtpm_setup: search.program("swtpm_setup").into(),
            swtpm_localca: search.program("swtpm_localca").into(),
        };
        search.finish(toolchain)
    }

    /// QEMU, OVMF and virt-fw-vars out of the root file system of another Debian at `tree` (as
    /// mkosi makes for its tools), without changing root; the software TPM from this machine.
    pub fn from_tree(tree: &Path) -> Result<Self> {
        let mut search = Search::default();
        let inside = |path: &str| tree.join(path);
        let text = |path: &str| tree.join(path).display().to_string();
        let loader = search.file(&[inside("usr/lib64/ld-linux-x86-64.so.2")]);
        let libraries = text("usr/lib/x86_64-linux-gnu");
        let through_loader = |program: PathBuf| {
            vec![
                loader.display().to_string(),
                "--library-path".to_owned(),
                format!("{libraries}:{libraries}/pulseaudio"),
                program.display().to_string(),
            ]
        };
        let mut qemu_command = through_loader(search.file(&[inside("usr/bin/qemu-system-x86_64")]));
        for folder in ["usr/share/qemu", "usr/share/seabios"] {
            qemu_command.extend(["-L".to_owned(), text(folder)]);
        }
        let mut virt_fw_vars = vec!["env".to_owned(), format!("PYTHONHOME={}", text("usr"))];
        virt_fw_vars.extend(through_loader(search.file(&[inside("usr/bin/python3")])));
        virt_fw_vars.push(search.file(&[inside("usr/bin/virt-fw-vars")]).display().to_string());
        let toolchain = Self {
            qemu_command,
            qemu_env: vec![("QEMU_MODULE_DIR".to_owned(), format!("{libraries}/qemu"))],
            ovmf_code: search.file(&OVMF_CODE.map(inside)),
            ovmf_vars_template: search.file(&OVMF_VARS.map(inside)),
            virt_fw_vars,
            swtpm: search.program("swtpm").into(),
            swtpm_setup: search.program("swtpm_setup").into(),
            swtpm_localca: search.program("swtpm_localca").into(),
        };
        search.finish(toolchain)
    }
}

const OVMF_CODE: [&str; 1] = ["usr/share/OVMF/OVMF_CODE_4M.secboot.fd"];
const OVMF_VARS: [&str; 1] = ["usr/share/OVMF/OVMF_VARS_4M.fd"];

/// Collects everything that is missing, so that it is told at once.
#[derive(Default)]
struct Search {
    missing: Vec<String>,
}

impl Search {
    fn program(&mut self, name: &str) -> String {
        find_program(name).map_or_else(
            || {
                self.missing.push(name.to_owned());
                name.to_owned()
            },
            |path| path.display().to_string(),
        )
    }

    fn file(&mut self, candidates: &[PathBuf]) -> PathBuf {
        if let Some(found) = candidates.iter().find(|path| path.exists()) {
            return found.clone();
        }
        let names: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
        self.missing.push(names.join(" or "));
        PathBuf::new()
    }

    fn finish(self, toolchain: Toolchain) -> Result<Toolchain> {
        if self.missing.is_empty() { Ok(toolchain) } else { Err(Error::Missing(self.missing)) }
    }
}
