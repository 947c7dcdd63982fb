//! The system bus: one connection per run.

use std::{collections::HashMap, time::Duration};

use holdfast_ipc::identity::{BUS_NAME, INTERFACE, OBJECT_PATH};
use serde::Deserialize;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Type, connection::Builder};

use crate::{Code, Failure, Snapshot};

/// Longer than a TPM needs for an RSA key.
const PATIENCE: Duration = Duration::from_secs(90);

/// A renewal is a new RSA key, two requests whose answers may take a minute each, and a trial.
const RENEWAL: Duration = Duration::from_secs(300);

pub(crate) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Connects to the system bus.
pub(crate) async fn connect() -> Result<Connection, Failure> {
    Ok(Builder::system().method_timeout(PATIENCE).build().await?)
}

/// Connects to the system bus for a call that talks to the cloud before it answers.
pub(crate) async fn connect_to_wait() -> Result<Connection, Failure> {
    Ok(Builder::system().method_timeout(RENEWAL).build().await?)
}

/// Reads all properties of the identity.
pub(crate) async fn snapshot(bus: &Connection) -> Result<Snapshot, Failure> {
    let reply =
        bus.call_method(Some(BUS_NAME), OBJECT_PATH, Some(PROPERTIES), "GetAll", &(INTERFACE,));
    let reply = reply.await?;
    let body = reply.body();
    let properties: HashMap<String, OwnedVariant> = body.deserialize()?;
    let mut snapshot = Snapshot::default();
    snapshot.apply(properties).map_err(|error| {
        Failure::new(Code::Failed, format!("the identity service answered oddly: {error}"))
    })?;
    Ok(snapshot)
}

/// What systemd says about the units that matter to the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// `SystemState`, as in `running` or `degraded`.
    pub system_state: String,
    /// Names of failed units.
    pub failed: Vec<String>,
    /// `ActiveState` of `nftables.service`.
    pub nftables: String,
}

impl Units {
    /// Whether the system has not yet started everything.
    pub fn is_starting(&self) -> bool {
        matches!(self.system_state.as_str(), "initializing" | "starting")
    }
}

/// A unit as the manager lists it (org.freedesktop.systemd1(5)).
#[derive(Deserialize, Type)]
struct ListedUnit {
    name: String,
    _description: String,
    _load_state: String,
    active_state: String,
    _sub_state: String,
    _following: String,
    _object: OwnedObjectPath,
    _job: u32,
    _job_type: String,
    _job_object: OwnedObjectPath,
}

/// Asks systemd for its state and its failed units.
pub(crate) async fn units(bus: &Connection) -> Result<Units, Failure> {
    const SYSTEMD: &str = "org.freedesktop.systemd1";
    const MANAGER: &str = "org.freedesktop.systemd1.Manager";
    const PATH: &str = "/org/freedesktop/systemd1";
    let none: [&str; 0] = [];
    let failed = bus
        .call_method(
            Some(SYSTEMD),
            PATH,
            Some(MANAGER),
            "ListUnitsByPatterns",
            &(["failed"].as_slice(), none.as_slice()),
        )
        .await?;
    let failed: Vec<ListedUnit> = failed.body().deserialize()?;
    let nftables = bus
        .call_method(
            Some(SYSTEMD),
            PATH,
            Some(MANAGER),
            "ListUnitsByNames",
            &(["nftables.service"].as_slice(),),
        )
        .await?;
    let nftables: Vec<ListedUnit> = nftables.body().deserialize()?;
    let state = bus
        .call_method(Some(SYSTEMD), PATH, Some(PROPERTIES), "Get", &(MANAGER, "SystemState"))
        .await?;
    let state: OwnedVariant = state.body().deserialize()?;
    Ok(Units {
        system_state: String::try_from(state).unwrap_or_default(),
        failed: failed.into_iter().map(|unit| unit.name).collect(),
        nftables: nftables.into_iter().next().map(|unit| unit.active_state).unwrap_or_default(),
    })
}
