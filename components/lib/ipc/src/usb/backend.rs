//! What the USB daemon has to do.

use std::future::Future;
use std::time::Duration;

use holdfast_usb_rules::{Document, Position, Rule, RuleId, Verdict};

use super::{DeviceReport, Explanation, PortReport, RuleReport, UsbStatus};
use crate::CallError;

/// How long a decision about one device holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Until the device goes.
    Presence,
    /// Until then or until the device goes.
    For(Duration),
    /// For good: a rule of the policy says so.
    Permanent,
}

/// A decision of a person about one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Number of the device.
    pub device: u32,
    /// What is done with it.
    pub verdict: Verdict,
    /// For how long.
    pub lasting: Lasting,
}

/// A parameter of USBGuard's that clients may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// What is done with a device that comes while the daemon runs: `block`, `reject` or
    /// `apply-policy`.
    InsertedDevicePolicy,
    /// What is done with a device that no rule is for: `allow`, `block` or `reject`.
    ImplicitPolicyTarget,
}

impl Parameter {
    /// Every parameter.
    pub const ALL: [Self; 2] = [Self::InsertedDevicePolicy, Self::ImplicitPolicyTarget];

    /// The name on the bus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InsertedDevicePolicy => "InsertedDevicePolicy",
            Self::ImplicitPolicyTarget => "ImplicitPolicyTarget",
        }
    }

    /// The parameter of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|parameter| parameter.name() == name)
    }

    /// The values that it may have.
    pub const fn values(self) -> [&'static str; 3] {
        match self {
            Self::InsertedDevicePolicy => ["block", "reject", "apply-policy"],
            Self::ImplicitPolicyTarget => ["allow", "block", "reject"],
        }
    }
}

/// Text of a rule and its number.
pub type RuleText = (RuleId, String);

/// The work behind `org.holdfast.Usb1` and USBGuard's interfaces. Callers are already authorized,
/// arguments have their form. Unknown devices, ports and rules are `InvalidArgs`.
pub trait UsbBackend: Send + Sync + 'static {
    /// The devices that are there, parents first.
    fn devices(&self) -> impl Future<Output = Result<Vec<DeviceReport>, CallError>> + Send;

    /// Devices that a query covers (`match ...`, or a rule whose target is the device's), each as a
    /// rule with its target.
    fn matching(
        &self,
        query: Rule,
    ) -> impl Future<Output = Result<Vec<(u32, String)>, CallError>> + Send;

    /// The ports that are there.
    fn ports(&self) -> impl Future<Output = Result<Vec<PortReport>, CallError>> + Send;

    /// The rules in force, in their order.
    fn rules(&self) -> impl Future<Output = Result<Vec<RuleReport>, CallError>> + Send;

    /// The rules in force with this label; all of them without one.
    fn labelled(
        &self,
        label: Option<String>,
    ) -> impl Future<Output = Result<Vec<RuleText>, CallError>> + Send;

    /// How the daemon is.
    fn status(&self) -> impl Future<Output = Result<UsbStatus, CallError>> + Send;

    /// Why a device is treated as it is.
    fn explain(&self, device: u32) -> impl Future<Output = Result<Explanation, CallError>> + Send;

    /// A policy that lets in what is there now: the text of a rules file. With ports, each device
    /// only where it is.
    fn generate_policy(
        &self,
        with_ports: bool,
    ) -> impl Future<Output = Result<String, CallError>> + Send;

    /// Decides about one device; the rule that says so, if one does.
    fn decide(
        &self,
        order: Order,
    ) -> impl Future<Output = Result<Option<RuleId>, CallError>> + Send;

    /// Lets in the next device that comes and that the rules would not let in; within this time.
    fn allow_next(&self, within: Duration) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Switches a port on or off, for good.
    fn set_port(
        &self,
        port: String,
        enabled: bool,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Adds a rule; its number. A temporary one is forgotten when the daemon ends.
    fn append_rule(
        &self,
        rule: Rule,
        position: Position,
        temporary: bool,
    ) -> impl Future<Output = Result<RuleId, CallError>> + Send;

    /// Takes a rule away.
    fn remove_rule(&self, rule: RuleId) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Takes these rules in place of all that are there.
    fn replace_rules(
        &self,
        document: Document,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Takes what the cloud says of rules and ports, if it is meant for this device and newer than
    /// what was taken before; its version. A document that is not taken changes nothing.
    fn apply_policy(&self, document: String)
    -> impl Future<Output = Result<u64, CallError>> + Send;

    /// Value of a parameter.
    fn parameter(
        &self,
        parameter: Parameter,
    ) -> impl Future<Output = Result<&'static str, CallError>> + Send;

    /// Sets a parameter until the daemon ends; the value before. `value` is one of its values.
    fn set_parameter(
        &self,
        parameter: Parameter,
        value: &'static str,
    ) -> impl Future<Output = Result<&'static str, CallError>> + Send;
}
