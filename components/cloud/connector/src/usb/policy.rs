//! Rules and port lists of groups and devices, and what comes of them for one device.

use holdfast_attestation::hash::sha256;
use holdfast_policy_document::{Kind, Policy};
use holdfast_usb_rules::Document;
use holdfast_usb_rules::ports::PortList;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::registry::{Device, Digest, GroupName, Tenant};

/// Longest rules, bytes as a JSON text; with a list of ports and two certificates they fit into a
/// document that devices take.
const RULES_LIMIT: usize = 512 * 1024;
/// Longest list of ports, bytes as a JSON text.
const PORTS_LIMIT: usize = 128 * 1024;

/// Of whom something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsbPolicyOwner {
    /// Of the devices of a group.
    Group {
        /// Owner of the group.
        tenant: Tenant,
        /// Its name.
        name: GroupName,
    },
    /// Of one device.
    Device(Uuid),
}

/// What an operator says.
#[derive(Clone, Debug)]
pub struct UsbPolicyChange {
    /// Of whom.
    pub owner: UsbPolicyOwner,
    /// Text of a rules file that was checked.
    pub rules: TextChange,
    /// Text of a port list that was checked.
    pub ports: TextChange,
    /// When.
    pub at: OffsetDateTime,
    /// Name of who says it.
    pub by: String,
}

/// What an operator says of one text; left out of a request it is kept, null clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<String>", into = "Option<String>")]
pub enum TextChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is taken away.
    Clear,
    /// It is this from then on.
    Set(String),
}

impl TextChange {
    /// Whether nothing changes.
    pub fn is_keep(&self) -> bool {
        *self == Self::Keep
    }

    /// The text after it.
    #[must_use]
    pub fn apply(self, before: Option<String>) -> Option<String> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(text) => Some(text),
        }
    }
}

impl From<Option<String>> for TextChange {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Clear, Self::Set)
    }
}

impl From<TextChange> for Option<String> {
    fn from(change: TextChange) -> Self {
        change.apply(None)
    }
}

/// The texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsbContent {
    /// Text of a rules file.
    pub rules: Option<String>,
    /// Text of a port list.
    pub ports: Option<String>,
}

/// What is said of a group or a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsbPolicy {
    /// The texts.
    #[serde(flatten)]
    pub content: UsbContent,
    /// Grows with each change.
    pub version: u64,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub changed_at: OffsetDateTime,
    /// By whom.
    pub changed_by: String,
}

/// The document that a device was given last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldUsbPolicy {
    /// Version of the document.
    pub version: u64,
    /// When the version was made.
    #[serde(with = "time::serde::rfc3339")]
    pub issued_at: OffsetDateTime,
    /// SHA-256 of the texts.
    pub content_sha256: Digest,
}

/// All that is said of a device, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceUsbPolicy {
    /// Of the device itself.
    pub own: Option<UsbPolicy>,
    /// Of its group.
    pub group: Option<UsbPolicy>,
    /// What the device is told.
    #[serde(flatten)]
    pub effective: UsbContent,
    /// What the device was told last.
    pub told: Option<ToldUsbPolicy>,
}

/// What a device is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsbDocument {
    /// Grows with each change of the content.
    pub version: u64,
    /// When the version was made.
    pub issued_at: OffsetDateTime,
    /// The texts; at least one.
    pub content: UsbContent,
}

impl UsbContent {
    /// What the first says, and what the second says where the first is silent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { rules: self.rules.or(other.rules), ports: self.ports.or(other.ports) }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.rules.is_none() && self.ports.is_none()
    }

    /// SHA-256 of the texts.
    pub fn sha256(&self) -> Digest {
        let part = |text: &Option<String>| match text {
            Some(text) => sha256(&[b"+", text.as_bytes()]),
            None => sha256(&[b"-"]),
        };
        Digest(sha256(&[&part(&self.rules), &part(&self.ports)]))
    }
}

impl UsbPolicyChange {
    /// What is said after it.
    #[must_use]
    pub fn apply(self, before: Option<UsbPolicy>) -> UsbPolicy {
        let version = before.as_ref().map_or(0, |before| before.version) + 1;
        let UsbContent { rules, ports } = before.map(|before| before.content).unwrap_or_default();
        let content = UsbContent { rules: self.rules.apply(rules), ports: self.ports.apply(ports) };
        UsbPolicy { content, version, changed_at: self.at, changed_by: self.by }
    }
}

impl DeviceUsbPolicy {
    /// From what is said of a device and of its group.
    pub fn new(
        own: Option<UsbPolicy>,
        group: Option<UsbPolicy>,
        told: Option<ToldUsbPolicy>,
    ) -> Self {
        let content = |policy: &Option<UsbPolicy>| {
            policy.as_ref().map(|policy| policy.content.clone()).unwrap_or_default()
        };
        let effective = content(&own).or(content(&group));
        Self { own, group, effective, told }
    }

    /// Whether the device was told what it is to be told.
    pub fn is_told(&self) -> bool {
        self.told.is_some_and(|told| told.content_sha256 == self.effective.sha256())
    }

    /// What the device is to be told next. Versions are not below the time, so that they grow also
    /// over a store that was brought back from a backup.
    pub fn next(&self, at: OffsetDateTime) -> ToldUsbPolicy {
        let before = self.told.map_or(0, |told| told.version);
        let time = u64::try_from(at.unix_timestamp()).unwrap_or_default();
        ToldUsbPolicy {
            version: time.max(before + 1),
            issued_at: at,
            content_sha256: self.effective.sha256(),
        }
    }
}

impl UsbDocument {
    /// The payload for a device.
    pub fn policy(self, device: &Device) -> Policy {
        Policy {
            kind: Kind::Usb,
            device_id: device.id.to_string(),
            edge_id: device.edge_id.clone(),
            version: self.version,
            issued: u64::try_from(self.issued_at.unix_timestamp()).unwrap_or_default(),
            not_after: None,
            rules: self.content.rules,
            ports: self.content.ports,
        }
    }
}

/// Refuses rules that devices would not take.
pub fn check_rules(text: &str) -> Result<(), String> {
    fits(text, RULES_LIMIT)?;
    Document::parse(text.as_bytes()).map(drop).map_err(|errors| errors.to_string())
}

/// Refuses a port list that devices would not take.
pub fn check_ports(text: &str) -> Result<(), String> {
    fits(text, PORTS_LIMIT)?;
    PortList::parse(text.as_bytes()).map(drop).map_err(|error| error.to_string())
}

fn fits(text: &str, limit: usize) -> Result<(), String> {
    let length = serde_json::to_string(text).map_err(|error| error.to_string())?.len();
    if length <= limit {
        return Ok(());
    }
    Err(format!("{length} bytes as a JSON text, over the limit of {limit}"))
}

#[cfg(test)]
mod tests {
    use holdfast_policy_document::{MAX_POLICY_BYTES, Unsigned};

    use super::*;

    fn content(rules: Option<&str>, ports: Option<&str>) -> UsbContent {
        UsbContent { rules: rules.map(str::to_owned), ports: ports.map(str::to_owned) }
    }

    fn said(rules: Option<&str>, ports: Option<&str>) -> UsbPolicy {
        let at = OffsetDateTime::UNIX_EPOCH;
        UsbPolicy {
            content: content(rules, ports),
            version: 3,
            changed_at: at,
            changed_by: "a".to_owned(),
        }
    }

    #[test]
    fn a_device_says_more_than_its_group() {
        let table = [
            (None, None, content(None, None)),
            (None, Some(said(Some("g"), None)), content(Some("g"), None)),
            (
                Some(said(Some("d"), None)),
                Some(said(Some("g"), Some("p"))),
                content(Some("d"), Some("p")),
            ),
            (Some(said(None, Some(""))), Some(said(None, Some("p"))), content(None, Some(""))),
        ];
        for (own, group, expected) in table {
            assert_eq!(DeviceUsbPolicy::new(own, group, None).effective, expected);
        }
    }

    #[test]
    fn versions_grow_with_the_content_and_not_below_the_time() {
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(100);
        let policy = |told| DeviceUsbPolicy::new(Some(said(Some("r"), None)), None, told);
        let first = policy(None).next(at);
        assert_eq!((first.version, policy(None).is_told()), (100, false));
        assert!(policy(Some(first)).is_told());
        let other = DeviceUsbPolicy::new(Some(said(None, Some("r"))), None, Some(first));
        assert!(!other.is_told(), "the same text, but as ports");
        assert_eq!(other.next(at).version, 101);
        assert_eq!(other.next(at + time::Duration::hours(1)).version, 3700);
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let set = |text: &str| TextChange::Set(text.to_owned());
        let change = |rules, ports| UsbPolicyChange {
            owner: UsbPolicyOwner::Device(Uuid::nil()),
            rules,
            ports,
            at: OffsetDateTime::UNIX_EPOCH,
            by: "b".to_owned(),
        };
        let new = change(set("r"), TextChange::Keep).apply(None);
        assert_eq!((new.version, &new.content), (1, &content(Some("r"), None)));
        let more = change(TextChange::Keep, set("p")).apply(Some(new));
        assert_eq!((more.version, &more.content), (2, &content(Some("r"), Some("p"))));
        let less = change(TextChange::Clear, TextChange::Keep).apply(Some(more));
        assert_eq!((less.version, &less.content), (3, &content(None, Some("p"))));
    }

    #[test]
    fn faults_are_placed_and_the_longest_texts_fit_into_a_document() {
        check_rules("allow 0781:5581\n").unwrap();
        assert!(check_rules("allow\nallow serail 1\n").unwrap_err().contains("line 2, column 7"));
        check_ports("used a/hs/1\n").unwrap();
        assert!(check_ports("used a/hs/1\nopen\n").unwrap_err().starts_with("line 2, column 1"));
        let rules = "#".repeat(RULES_LIMIT - 2);
        let ports = "#".repeat(PORTS_LIMIT - 2);
        check_rules(&rules).unwrap();
        check_ports(&ports).unwrap();
        assert!(check_rules(&(rules.clone() + "\"")).unwrap_err().contains("over the limit"));
        assert!(check_ports(&(ports.clone() + "#")).unwrap_err().contains("over the limit"));
        let policy = Policy {
            kind: Kind::Usb,
            device_id: Uuid::nil().to_string(),
            edge_id: "x".repeat(256),
            version: u64::MAX,
            issued: u64::MAX,
            not_after: None,
            rules: Some(rules),
            ports: Some(ports),
        };
        let document = Unsigned::new(&policy, &[vec![0; 4096], vec![0; 4096]]).unwrap();
        assert!(document.sign(&[0; 64]).len() <= MAX_POLICY_BYTES);
    }
}
