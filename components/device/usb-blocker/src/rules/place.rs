//! One file of the three: the device's, its last good copy, the image's.

use std::path::PathBuf;

use crate::file::{self, FileError, Stamp};

/// Where what is in force came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The device's own file.
    Device,
    /// The image's.
    Image,
    /// The copy of the device's file as it was when it was last good.
    LastGood,
    /// Nothing could be read.
    None,
}

impl Origin {
    /// The name on the bus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Image => "image",
            Self::LastGood => "last-good",
            Self::None => "none",
        }
    }
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// The content; the empty one where there is none.
    pub content: T,
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong with a file that should be in force instead.
    pub error: Option<String>,
}

impl<T> Kept<T> {
    /// Whether it is what should be in force.
    pub const fn is_healthy(&self) -> bool {
        self.error.is_none()
    }
}

/// The places of one content.
#[derive(Debug)]
pub struct Place {
    device: PathBuf,
    good: PathBuf,
    image: PathBuf,
    limit: usize,
    /// The device's file as it was when it was last looked at.
    seen: Option<Stamp>,
}

impl Place {
    /// The places of a content of at most so many bytes: the file `name` in the device's folder,
    /// its copy, and the image's file.
    pub fn new(folder: &std::path::Path, name: &str, image: PathBuf, limit: usize) -> Self {
        let (device, good) = (folder.join(name), folder.join(format!("{name}.good")));
        Self { device, good, image, limit, seen: None }
    }

    /// The file that an origin means; empty for none.
    pub fn file(&self, origin: Origin) -> String {
        match origin {
            Origin::Device => self.device.display().to_string(),
            Origin::Image => self.image.display().to_string(),
            Origin::LastGood => self.good.display().to_string(),
            Origin::None => String::new(),
        }
    }

    /// Reads what is to be in force at the start. A device's file that is bad leaves its last good
    /// copy in force, not the image's: that may let in what the device's does not.
    pub fn load<T: Default>(&mut self, parse: impl Fn(&[u8]) -> Result<T, String>) -> Kept<T> {
        self.seen = Stamp::now(&self.device);
        let error = match self.read_device(&parse) {
            Ok(Some(content)) => return Kept { content, origin: Origin::Device, error: None },
            Ok(None) => return self.load_image(None, parse),
            Err(error) => Some(error),
        };
        match file::read(&self.good, self.limit) {
            Ok((bytes, _)) => match parse(&bytes) {
                Ok(content) => Kept { content, origin: Origin::LastGood, error },
                Err(_) => Kept { content: T::default(), origin: Origin::None, error },
            },
            // The device's file never was good: the image's was in force.
            Err(FileError::Missing(_)) => self.load_image(error, parse),
            Err(_) => Kept { content: T::default(), origin: Origin::None, error },
        }
    }

    fn load_image<T: Default>(
        &self,
        error: Option<String>,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Kept<T> {
        match read(&self.image, self.limit, parse) {
            Ok((content, _)) => Kept { content, origin: Origin::Image, error },
            Err(of_image) => {
                let error = error.or(Some(of_image));
                Kept { content: T::default(), origin: Origin::None, error }
            }
        }
    }

    /// Whether the device's file is another one than when it was last looked at.
    pub fn has_changed(&self) -> bool {
        Stamp::now(&self.device) != self.seen
    }

    /// Reads the device's file anew; none where it is gone and the image's counts.
    pub fn reload<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<(T, Origin), String> {
        self.seen = Stamp::now(&self.device);
        if let Some(content) = self.read_device(&parse)? {
            return Ok((content, Origin::Device));
        }
        let (content, _) = read(&self.image, self.limit, &parse)?;
        Ok((content, Origin::Image))
    }

    /// Writes the device's file, and its good copy.
    pub fn save(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if bytes.len() > self.limit {
            return Err(FileError::TooLong { path: self.device.clone(), limit: self.limit });
        }
        file::replace(&self.device, bytes)?;
        self.seen = Stamp::now(&self.device);
        self.keep_good(bytes);
        Ok(())
    }

    fn read_device<T>(
        &self,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        match file::read(&self.device, self.limit) {
            Ok((bytes, _)) => {
                let content = parse(&bytes).map_err(|error| self.named(&error))?;
                self.keep_good(&bytes);
                Ok(Some(content))
            }
            Err(FileError::Missing(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn named(&self, error: &str) -> String {
        format!("{}: {error}", self.device.display())
    }

    /// The copy is for a later start; what is in force does not depend on it.
    fn keep_good(&self, bytes: &[u8]) {
        let is_kept = file::read(&self.good, self.limit).is_ok_and(|(kept, _)| kept == bytes);
        if !is_kept && let Err(error) = file::replace(&self.good, bytes) {
            tracing::warn!("the last good copy is not kept: {error}");
        }
    }
}

fn read<T>(
    path: &std::path::Path,
    limit: usize,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<(T, Stamp), String> {
    let (bytes, stamp) = file::read(path, limit).map_err(|error| error.to_string())?;
    let content = parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((content, stamp))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<String, String> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.contains("bad") { Err("line 1, column 1: bad".to_owned()) } else { Ok(text) }
    }

    fn place(folder: &std::path::Path) -> Place {
        Place::new(folder, "rules.conf", folder.join("image.conf"), 100)
    }

    #[test]
    fn the_last_good_rules_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let none = place(path).load(parse);
        assert_eq!((none.content.as_str(), none.origin), ("", Origin::None));
        assert!(none.error.unwrap().contains("image.conf is not there"));
        fs::write(path.join("image.conf"), "image").unwrap();
        fs::set_permissions(path.join("image.conf"), fs::Permissions::from_mode(0o644)).unwrap();
        let mut kept = place(path);
        assert_eq!(kept.load(parse).origin, Origin::Image);
        assert!(!kept.has_changed());

        kept.save(b"one").unwrap();
        assert!(!kept.has_changed());
        let loaded = place(path).load(parse);
        assert_eq!((loaded.content.as_str(), loaded.origin), ("one", Origin::Device));

        fs::write(path.join("rules.conf"), "bad").unwrap();
        assert!(kept.has_changed());
        let error = kept.reload(parse).unwrap_err();
        assert!(error.ends_with("rules.conf: line 1, column 1: bad"), "{error}");
        assert!(!kept.has_changed(), "a bad file is told once");
        let loaded = place(path).load(parse);
        assert_eq!((loaded.content.as_str(), loaded.origin), ("one", Origin::LastGood));
        assert!(!loaded.is_healthy());

        // The image's would be another policy than the one that was in force.
        fs::write(path.join("rules.conf.good"), "bad").unwrap();
        let loaded = place(path).load(parse);
        assert_eq!((loaded.content.as_str(), loaded.origin), ("", Origin::None));
        fs::remove_file(path.join("rules.conf.good")).unwrap();
        let loaded = place(path).load(parse);
        assert_eq!((loaded.content.as_str(), loaded.origin), ("image", Origin::Image));
        assert!(!loaded.is_healthy());

        fs::remove_file(path.join("rules.conf")).unwrap();
        assert_eq!(kept.reload(parse).unwrap(), ("image".to_owned(), Origin::Image));
        assert!(kept.save(&[b'x'; 101]).unwrap_err().to_string().contains("more than 100 bytes"));
        assert!(!path.join("rules.conf").exists());
    }

    #[test]
    fn rules_that_others_can_write_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = place(folder.path());
        kept.save(b"one").unwrap();
        let file = folder.path().join("rules.conf");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(kept.has_changed());
        assert!(kept.reload(parse).unwrap_err().contains("others may write it"));
        assert_eq!(place(folder.path()).load(parse).origin, Origin::LastGood);
    }
}
