//! Where things lie: the repository and the folder of everything that is built.

use std::path::{Path, PathBuf};

/// Folders of the project.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The repository.
    pub repository: PathBuf,
    /// Everything that is built and nothing that is kept in git.
    pub build: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
}

impl Paths {
    /// The repository that this program was built from; `HOLDFAST_BUILD` and `CARGO_TARGET_DIR`
    /// move what is built elsewhere.
    pub fn new() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let repository = here.parent().unwrap_or(here).to_path_buf();
        let or = |variable: &str, default: &str| {
            std::env::var_os(variable).map_or_else(|| repository.join(default), PathBuf::from)
        };
        Self {
            build: or("HOLDFAST_BUILD", "build"),
            target: or("CARGO_TARGET_DIR", "target"),
            repository,
        }
    }

    /// The folder of one image profile's products.
    pub fn image(&self, profile: &str) -> PathBuf {
        self.build.join("image").join(profile)
    }
}
