//! What the host must have, and how it gets it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{paths::Paths, process};

/// A Debian or Ubuntu package that the host needs, a file that shows it is there, and why.
pub struct Need {
    /// Package name.
    pub package: &'static str,
    /// A file of the package; a `*` stands for any text within a name.
    pub file: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// Everything that the build and the tests take from the host.
pub const NEEDS: &[Need] = &[
    Need { package: "gcc", file: "/usr/bin/cc", purpose: "links the programs" },
    Need {
        package: "libc6-dev",
        file: "/usr/lib/x86_64-linux-gnu/libc.a",
        purpose: "links the initrd's program statically",
    },
    Need { package: "pkg-config", file: "/usr/bin/pkg-config", purpose: "finds libtss2" },
    Need {
        package: "libtss2-dev",
        file: "/usr/lib/x86_64-linux-gnu/pkgconfig/tss2-esys.pc",
        purpose: "TPM library of the device programs",
    },
    Need { package: "python3", file: "/usr/bin/python3", purpose: "runs mkosi" },
    Need {
        package: "python3-venv",
        file: "/usr/lib/python3.*/ensurepip",
        purpose: "installs the Python programs of the interoperability tests",
    },
    Need {
        package: "apt",
        file: "/usr/bin/apt-get",
        purpose: "fetches mkosi and the packages of the image",
    },
    Need {
        package: "debian-archive-keyring",
        file: "/usr/share/keyrings/debian-archive-keyring.gpg",
        purpose: "checks Debian's packages",
    },
    Need {
        package: "bubblewrap",
        file: "/usr/bin/bwrap",
        purpose: "runs the image tools in their own tree",
    },
    Need {
        package: "uidmap",
        file: "/usr/bin/newuidmap",
        purpose: "builds the image without root",
    },
    Need { package: "git", file: "/usr/bin/git", purpose: "tells the time of the last commit" },
    Need { package: "openssl", file: "/usr/bin/openssl", purpose: "makes the build's keys" },
    Need {
        package: "strace",
        file: "/usr/bin/strace",
        purpose: "kills the connector at its disk operations",
    },
    Need { package: "swtpm", file: "/usr/bin/swtpm", purpose: "the device's TPM" },
    Need {
        package: "swtpm-tools",
        file: "/usr/bin/swtpm_setup",
        purpose: "makes TPMs with an endorsement certificate",
    },
    Need {
        package: "gnutls-bin",
        file: "/usr/bin/certtool",
        purpose: "signs the endorsement certificates of software TPMs",
    },
    Need {
        package: "dbus",
        file: "/usr/bin/dbus-daemon",
        purpose: "private buses of the unit tests",
    },
    Need {
        package: "libglib2.0-bin",
        file: "/usr/bin/gdbus",
        purpose: "the independent side of the D-Bus tests",
    },
    Need {
        package: "fdisk",
        file: "/usr/sbin/sfdisk",
        purpose: "the independent side of the partition table tests",
    },
    Need {
        package: "mtools",
        file: "/usr/bin/mtype",
        purpose: "the independent side of the FAT tests",
    },
    Need {
        package: "qemu-utils",
        file: "/usr/bin/qemu-io",
        purpose: "the independent side of the network block device tests",
    },
    Need {
        package: "tpm2-openssl",
        file: "/usr/lib/x86_64-linux-gnu/ossl-modules/tpm2.so",
        purpose: "the independent side of the key file tests",
    },
    Need { package: "curl", file: "/usr/bin/curl", purpose: "an independent EST client" },
    Need { package: "strongswan-pki", file: "/usr/bin/pki", purpose: "an independent EST client" },
    Need {
        package: "libstrongswan-standard-plugins",
        file: "/usr/lib/ipsec/plugins/libstrongswan-gcm.so",
        purpose: "its cryptography",
    },
    Need {
        package: "libstrongswan-extra-plugins",
        file: "/usr/lib/ipsec/plugins/libstrongswan-curl.so",
        purpose: "its HTTP",
    },
    Need {
        package: "libcharon-extra-plugins",
        file: "/usr/lib/ipsec/libtls.so.0",
        purpose: "its TLS",
    },
    Need {
        package: "libfaketime",
        file: "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        purpose: "sets the clock of the device's daemon in tests",
    },
    Need {
        package: "python3-jwt",
        file: "/usr/lib/python3/dist-packages/jwt/__init__.py",
        purpose: "the independent side of the token and report signature tests",
    },
    Need {
        package: "python3-cryptography",
        file: "/usr/lib/python3/dist-packages/cryptography/__init__.py",
        purpose: "the independent side of the token and report signature tests",
    },
    Need {
        package: "tpm2-tools",
        file: "/usr/bin/tpm2",
        purpose: "the independent side of the TPM tests",
    },
];

impl Need {
    /// Whether the host has it.
    pub fn is_met(&self) -> bool {
        exists(Path::new(self.file))
    }
}

/// Whether there is a file of this name.
fn exists(pattern: &Path) -> bool {
    let pattern = pattern.to_string_lossy();
    let Some((before, after)) = pattern.split_once('*') else {
        return Path::new(&*pattern).exists();
    };
    let (folder, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let (suffix, rest) = after.split_once('/').unwrap_or((after, ""));
    let entries = fs::read_dir(format!("{folder}/")).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_of_pattern = name.strip_prefix(prefix).is_some_and(|rest| rest.ends_with(suffix));
        is_of_pattern && entry.path().join(rest).exists()
    })
}

/// The packages that are missing.
pub fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !need.is_met()).collect()
}

/// The one command that installs what is missing.
pub fn install_command(missing: &[&Need]) -> String {
    let names: Vec<_> = missing.iter().map(|n| n.package).collect();
    format!("apt-get update && apt-get install -y --no-install-recommends {}", names.join(" "))
}

/// Installs what is missing as root; for other users it is an error that names the command.
pub fn provide(paths: &Paths) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let command = install_command(&missing);
    let root = String::from_utf8(process::output(Command::new("id").arg("-u"))?)?.trim() == "0";
    if !root {
        bail!(
            "the host lacks packages; install them with\n\n    sudo sh -c '{command}'\n\nand run this again"
        );
    }
    process::step("install host packages", || {
        process::run(
            Command::new("sh").args(["-c", &command]).env("DEBIAN_FRONTEND", "noninteractive"),
            &paths.build.join("log/host.log"),
        )
    })
}

/// Where the host gets Debian's packages from.
pub struct Mirrors {
    /// The archive.
    pub archive: String,
    /// Security updates.
    pub security: String,
}

/// Takes Debian's mirror from the host's own apt configuration. A host whose apt knows no Debian
/// mirror (Ubuntu) names one in `HOLDFAST_DEBIAN_MIRROR`.
pub fn debian_mirrors() -> Result<Mirrors> {
    if let Ok(mirror) = std::env::var("HOLDFAST_DEBIAN_MIRROR") {
        let archive = mirror.trim_end_matches('/').to_owned();
        return Ok(Mirrors { security: security_of(&archive), archive });
    }
    let mut text = String::new();
    for folder in ["/etc/apt/sources.list", "/etc/apt/sources.list.d"] {
        for entry in walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten() {
            if entry.file_type().is_file() {
                text += &fs::read_to_string(entry.path())
                    .with_context(|| format!("read {}", entry.path().display()))?;
                text += "\n";
            }
        }
    }
    parse_mirrors(&text).context(
        "the host's apt configuration names no Debian mirror; name one in HOLDFAST_DEBIAN_MIRROR, as in \
         HOLDFAST_DEBIAN_MIRROR=http://mirror.example/debian",
    )
}

fn parse_mirrors(text: &str) -> Option<Mirrors> {
    let addresses: Vec<&str> = text
        .lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .filter(|w| w.starts_with("http://") || w.starts_with("https://"))
        .map(|w| w.trim_end_matches('/'))
        .collect();
    let archive = (*addresses.iter().find(|a| a.ends_with("/debian"))?).to_owned();
    let security = addresses
        .iter()
        .find(|a| a.ends_with("/debian-security"))
        .map_or_else(|| security_of(&archive), |a| (*a).to_owned());
    Some(Mirrors { archive, security })
}

fn security_of(archive: &str) -> String {
    format!("{archive}-security")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_both_formats() {
        for text in [
            "deb http://m.example/debian bookworm main\ndeb http://s.example/debian-security bookworm-security main",
            "# http://old.example/debian\nTypes: deb\nURIs: http://m.example/debian/\nSuites: x\n\nURIs: http://s.example/debian-security\n",
        ] {
            let mirrors = parse_mirrors(text).unwrap();
            assert_eq!(mirrors.archive, "http://m.example/debian");
            assert_eq!(mirrors.security, "http://s.example/debian-security");
        }
    }

    #[test]
    fn a_star_stands_for_a_part_of_a_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("python3.11/ensurepip")).unwrap();
        let is_there = |pattern: &str| exists(&folder.path().join(pattern));
        assert!(is_there("python3.*/ensurepip") && is_there("python3.11/ensurepip"));
        assert!(is_there("python*"));
        assert!(!is_there("python3.*/venv") && !is_there("perl*/ensurepip") && !is_there("*.so"));
    }

    #[test]
    fn a_host_without_debian_is_told() {
        assert!(parse_mirrors("deb http://m.example/ubuntu noble main").is_none());
    }
}
