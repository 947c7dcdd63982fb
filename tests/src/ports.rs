use std::fs;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The connector's ports on the loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Enrolment (EST).
    pub enrol: u16,
    /// Enrolled devices.
    pub device: u16,
    /// Operators.
    pub management: u16,
}

/// The address under which a guest of QEMU's own network finds this machine's loopback services.
const HOST_AS_GUESTS_SEE_IT: &str = "10.0.2.2";

impl Ports {
    /// The ports of the documentation where they are free, else any.
    pub fn preferred() -> Result<Self> {
        let preferred = Self { enrol: 8443, device: 8444, management: 8445 };
        if preferred.check_free().is_ok() { Ok(preferred) } else { Self::any() }
    }

    /// Ports that nobody listens at.
    pub fn any() -> Result<Self> {
        // All are held until all are chosen, so that they differ.
        let listeners = [listen(0)?, listen(0)?, listen(0)?];
        let mut ports = [0; 3];
        for (port, listener) in ports.iter_mut().zip(&listeners) {
            *port = listener.local_addr().context("ask for a free port")?.port();
        }
        let [enrol, device, management] = ports;
        Ok(Self { enrol, device, management })
    }

    /// The ports of the connector that last ran on a data folder. Its devices know them.
    pub fn of_data(data: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Endpoints {
            est: std::net::SocketAddr,
            device: std::net::SocketAddr,
            management: std::net::SocketAddr,
        }
        let path = data.join("endpoints.json");
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let endpoints: Endpoints =
            serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?;
        Ok(Self {
            enrol: endpoints.est.port(),
            device: endpoints.device.port(),
            management: endpoints.management.port(),
        })
    }

    /// An error that names the port which somebody else listens at.
    pub fn check_free(self) -> Result<()> {
        for port in [self.enrol, self.device, self.management] {
            if let Err(error) = listen(port) {
                bail!("port {port} of this machine is not free: {error:#}");
            }
        }
        Ok(())
    }

    /// Where devices enrol.
    pub fn enrol_url(self) -> String {
        format!("https://{HOST_AS_GUESTS_SEE_IT}:{}", self.enrol)
    }

    /// Where enrolled devices call.
    pub fn device_url(self) -> String {
        format!("https://{HOST_AS_GUESTS_SEE_IT}:{}", self.device)
    }

    /// Where operators of this machine call.
    pub fn management_url(self) -> String {
        format!("https://127.0.0.1:{}", self.management)
    }

    /// The arguments of `holdfast-cloud serve`.
    pub(crate) fn arguments(self) -> Vec<String> {
        [
            ("--est-listen", self.enrol),
            ("--device-listen", self.device),
            ("--management-listen", self.management),
        ]
        .into_iter()
        .flat_map(|(option, port)| [option.to_owned(), format!("127.0.0.1:{port}")])
        .chain(["--server-name", HOST_AS_GUESTS_SEE_IT].map(str::to_owned))
        .collect()
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    Ok(TcpListener::bind(("127.0.0.1", port))?)
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn ports_are_those_that_the_server_wrote_down() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"est":"127.0.0.1:1","device":"127.0.0.1:2","management":"127.0.0.1:3"}"#;
        std::fs::write(folder.path().join("endpoints.json"), text).unwrap();
        let ports = Ports::of_data(folder.path()).unwrap();
        assert_eq!(ports, Ports { enrol: 1, device: 2, management: 3 });
        assert_eq!(ports.enrol_url(), "https://10.0.2.2:1");
        assert_eq!(
            ports.arguments().join(" "),
            "--est-listen 127.0.0.1:1 --device-listen 127.0.0.1:2 --management-listen 127.0.0.1:3 \
             --server-name 10.0.2.2"
        );
    }

    #[test]
    fn a_port_in_use_is_named() {
        let ports = Ports::any().unwrap();
        let taken = std::net::TcpListener::bind(("127.0.0.1", ports.device)).unwrap();
        let error = ports.check_free().unwrap_err().to_string();
        assert!(error.contains(&ports.device.to_string()), "{error}");
        drop(taken);
    }
}
