//! Who asked for the operation.

use serde::{Deserialize, Serialize};

use crate::Text;

/// What sort of party an actor is; it says which facts must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// A person's process on the device; has a uid.
    User,
    /// A device that speaks to the cloud; has a name (device id or Edge ID).
    Device,
    /// A holder of an API key of the cloud; has the key's name, never the key.
    ApiKey,
    /// A service of the device or the cloud that acts on its own.
    System,
}

/// The party that asked, with what is known of it. Facts come from the kernel, the bus or a
/// verified certificate, never from the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// What sort of party.
    pub kind: ActorKind,
    /// User id of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// User id of the login that the process descends from (audit(7)); survives su and sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// Process id on the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Name or path of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Text<256>>,
    /// systemd unit of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Text<256>>,
    /// Name of the device, API key, user or service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<128>>,
}

impl Actor {
    /// A person's process.
    pub fn user(uid: u32) -> Self {
        Self { uid: Some(uid), ..Self::of(ActorKind::User) }
    }

    /// A device, by device id or Edge ID.
    pub fn device(name: Text<128>) -> Self {
        Self { name: Some(name), ..Self::of(ActorKind::Device) }
    }

    /// An API key, by its name.
    pub fn api_key(name: Text<128>) -> Self {
        Self { name: Some(name), ..Self::of(ActorKind::ApiKey) }
    }

    /// A service that acts on its own.
    pub fn system() -> Self {
        Self::of(ActorKind::System)
    }

    /// Adds the uid of the login.
    #[must_use]
    pub fn with_login_uid(self, login_uid: u32) -> Self {
        Self { login_uid: Some(login_uid), ..self }
    }

    /// What is missing for this kind, if anything.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match self.kind {
            ActorKind::User if self.uid.is_none() => Some("an actor of kind user needs a uid"),
            ActorKind::Device if self.name.is_none() => {
                Some("an actor of kind device needs a name")
            }
            ActorKind::ApiKey if self.name.is_none() => {
                Some("an actor of kind api-key needs a name")
            }
            _ => None,
        }
    }

    fn of(kind: ActorKind) -> Self {
        Self { kind, uid: None, login_uid: None, pid: None, process: None, unit: None, name: None }
    }
}
