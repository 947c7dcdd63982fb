//! The message bus that a daemon serves on.

use zbus::Connection;
use zbus::connection::Builder;

/// Which bus it is.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    /// None of the system's, which has a well-known one.
    address: Option<String>,
}

/// The daemon cannot serve.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot serve on the message bus {bus}: {source}; is dbus running, and may this user own the \
     name?"
)]
pub struct BusError {
    /// Its address.
    bus: String,
    /// What the bus said.
    source: zbus::Error,
}

impl Bus {
    /// The bus at an address, or the system's.
    pub fn new(address: Option<String>) -> Self {
        Self { address }
    }

    /// Joins it. A daemon keeps the connection to its end: its names go with it.
    pub async fn connect(&self) -> Result<Connection, BusError> {
        let builder = match &self.address {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        builder.build().await.map_err(|source| self.failed(source))
    }

    /// What the bus refused, with where that was.
    pub fn failed(&self, source: zbus::Error) -> BusError {
        let bus = self.address.clone().unwrap_or_else(|| "of the system".to_owned());
        BusError { bus, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bus_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix:path={}", folder.path().join("bus").display());
        let error = Bus::new(Some(address.clone())).connect().await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot serve on the message bus {address}: ")));
        assert!(error.contains("is dbus running"), "{error}");
    }
}
