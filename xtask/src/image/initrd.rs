//! The initrd: one program, the modules that the boot disk needs, and their tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::{Context, Result};

use super::{cpio, layout, root::Root};

const MODULES: &str = "usr/lib/modules";

/// Makes the archive from the root file system's modules and the program.
pub fn build(root: &Root, layout: &layout::Initrd, program: &[u8]) -> Result<Vec<u8>> {
    let table = |name: &str| {
        root.files_below(MODULES)
            .find(|(path, _)| path.file_name().is_some_and(|n| n == name))
            .map(|(_, content)| String::from_utf8_lossy(content).into_owned())
            .with_context(|| format!("the root file system has no {name}"))
    };
    let dependencies = Dependencies::parse(&table("modules.dep")?);
    let mut wanted = BTreeSet::new();
    for name in layout.base.iter().chain(&layout.drivers) {
        dependencies.closure(name, &mut wanted)?;
    }
    let mut archive = cpio::Writer::default();
    archive.folder("modules");
    let mut dep = String::new();
    for (path, content) in root.files_below(MODULES) {
        let name = module_name(&path.to_string_lossy());
        if path.extension().is_none_or(|e| e != "ko") || !wanted.contains(&name) {
            continue;
        }
        let needs = dependencies.0.get(&name).map(|d| d.needs.join(" ")).unwrap_or_default();
        let _ = writeln!(dep, "{name}: {needs}");
        archive.file(&format!("modules/{name}.ko"), content, false);
    }
    let aliases = table("modules.alias")?;
    let mut alias = String::new();
    for driver in layout.drivers.iter().map(|n| module_name(n)) {
        for (pattern, _) in aliases
            .lines()
            .filter_map(|l| l.strip_prefix("alias ")?.rsplit_once(' '))
            .filter(|(_, name)| module_name(name) == driver)
        {
            let _ = writeln!(alias, "{pattern} {driver}");
        }
    }
    let base_names: Vec<String> = layout.base.iter().map(|n| module_name(n)).collect();
    archive.file("modules/base", base_names.join("\n").as_bytes(), false);
    archive.file("modules/dep", dep.as_bytes(), false);
    archive.file("modules/alias", alias.as_bytes(), false);
    for place in ["dev", "proc", "sys", "run", "sysroot"] {
        archive.folder(place);
    }
    archive.file("init", program, true);
    Ok(archive.finish())
}

/// The name by which the kernel knows a module's file: `-` and `_` are one.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

struct Module {
    needs: Vec<String>,
}

/// The kernel's table of dependencies.
struct Dependencies(BTreeMap<String, Module>);

impl Dependencies {
    fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter_map(|l| l.split_once(':'))
                .map(|(path, needs)| {
                    // modules.dep lists them in the order in which they must be unloaded.
                    let needs = needs.split_whitespace().rev().map(module_name).collect();
                    (module_name(path), Module { needs })
                })
                .collect(),
        )
    }

    fn closure(&self, name: &str, into: &mut BTreeSet<String>) -> Result<()> {
        let name = module_name(name);
        let module = self.0.get(&name).with_context(|| {
            format!("the root file system has no module {name}; add it to KernelModulesInclude= in mkosi.conf")
        })?;
        for need in &module.needs {
            into.insert(need.clone());
        }
        into.insert(name);
        Ok(())
    }
}

/// The kernel's version and file.
pub fn kernel(root: &Root) -> Result<(String, &[u8])> {
    root.files_below(MODULES)
        .find(|(path, _)| path.file_name().is_some_and(|n| n == "vmlinuz"))
        .and_then(|(path, content)| {
            Some((path.parent()?.file_name()?.to_string_lossy().into_owned(), content))
        })
        .context("the root file system has no kernel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_followed_by_either_spelling() {
        let table = Dependencies::parse(
            "kernel/md/dm-verity.ko: kernel/md/dm-bufio.ko kernel/md/dm-mod.ko\nkernel/md/dm-mod.ko:\n",
        );
        let mut found = BTreeSet::new();
        table.closure("dm-verity", &mut found).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["dm_bufio", "dm_mod", "dm_verity"]);
        assert!(table.closure("nvme", &mut BTreeSet::new()).is_err());
    }
}
