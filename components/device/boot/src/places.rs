//! Where files and the TPM are; tests put all of them below a folder.

use std::path::{Path, PathBuf};

/// Where files and the TPM are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    root: PathBuf,
    /// Connection string of the TPM.
    pub tpm: String,
    /// Folder that stands for the EFI system partition.
    pub esp: Option<PathBuf>,
}

impl Places {
    /// Reads `--name=value` words.
    pub fn from_options(options: &[String]) -> Result<Self, String> {
        let mut places = Self { root: "/".into(), tpm: "device:/dev/tpmrm0".to_owned(), esp: None };
        for option in options {
            match option.split_once('=') {
                Some(("--tpm", value)) if !value.is_empty() => value.clone_into(&mut places.tpm),
                Some(("--root", value)) if !value.is_empty() => places.root = value.into(),
                Some(("--esp", value)) if !value.is_empty() => places.esp = Some(value.into()),
                _ => return Err(format!("cannot use {option:?}")),
            }
        }
        Ok(places)
    }

    /// The place of a file that is named from the root, without a leading slash.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// The TPM as systemd's programs name it: the device file alone, or driver and parameter.
    pub fn tpm_for_systemd(&self) -> &str {
        self.tpm.strip_prefix("device:").unwrap_or(&self.tpm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Places, String> {
        Places::from_options(&words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options() {
        let places = parse(&[]).unwrap();
        assert_eq!(places.at("run/x"), Path::new("/run/x"));
        assert_eq!(places.tpm_for_systemd(), "/dev/tpmrm0");
        let places = parse(&["--root=/t", "--tpm=swtpm:host=h,port=1", "--esp=/e"]).unwrap();
        assert_eq!(places.at("run/x"), Path::new("/t/run/x"));
        assert_eq!(places.tpm_for_systemd(), "swtpm:host=h,port=1");
        assert_eq!(places.esp.as_deref(), Some(Path::new("/e")));
        for bad in ["--root", "--root=", "--roof=/t", "var"] {
            assert!(parse(&[bad]).unwrap_err().contains(bad), "{bad}");
        }
    }
}
