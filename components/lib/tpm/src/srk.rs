//! The storage root key.

use tss_esapi::interface_types::resource_handles::Hierarchy;

use crate::{Object, Tpm, TpmError, template};

impl Tpm {
    /// Derives the storage root key, which is the same at each boot.
    ///
    /// What another program may have stored at the customary handle 0x81000001 is not used: keys
    /// made under a different key would not load again.
    pub fn srk(&self) -> Result<Object<'_>, TpmError> {
        let srk = self.create_primary(Hierarchy::Owner, "storage root key", template::srk())?;
        Ok(srk.into_object())
    }
}
