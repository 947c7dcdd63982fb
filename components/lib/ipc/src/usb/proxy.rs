//! The client's side.

use zbus::proxy;

/// Proxy for `org.holdfast.Usb1` on the system bus. JSON is of the reports beside it.
#[proxy(
    interface = "org.holdfast.Usb1",
    default_service = "org.holdfast.Usb1",
    default_path = "/org/holdfast/Usb1"
)]
pub trait Usb1 {
    /// The devices that are there: [`DeviceReport`](super::DeviceReport)s.
    fn list_devices(&self) -> zbus::Result<String>;

    /// The ports that are there: [`PortReport`](super::PortReport)s.
    fn list_ports(&self) -> zbus::Result<String>;

    /// The rules in force: [`RuleReport`](super::RuleReport)s.
    fn list_rules(&self) -> zbus::Result<String>;

    /// How the daemon is: a [`UsbStatus`](super::UsbStatus).
    fn status(&self) -> zbus::Result<String>;

    /// Why a device is treated as it is: an [`Explanation`](super::Explanation).
    fn explain(&self, device: u32) -> zbus::Result<String>;

    /// The text of a policy that lets in what is there now.
    fn generate_policy(&self, with_ports: bool) -> zbus::Result<String>;

    /// Decides about a device, for 1 to 86400 seconds, for good, or with neither until it goes; the
    /// number of the rule that says so, 0 for none.
    fn decide(&self, device: u32, target: &str, seconds: u32, permanent: bool)
    -> zbus::Result<u32>;

    /// Lets in the next device that comes and that the rules would not let in.
    fn allow_next(&self, seconds: u32) -> zbus::Result<()>;

    /// Switches a port on, for good.
    fn enable_port(&self, port: &str) -> zbus::Result<()>;

    /// Switches a port off, for good.
    fn disable_port(&self, port: &str) -> zbus::Result<()>;

    /// Adds a rule behind another one, at the front (0) or at the end
    /// ([`RULE_LAST`](super::RULE_LAST)); its number.
    fn append_rule(&self, rule: &str, after: u32, temporary: bool) -> zbus::Result<u32>;

    /// Takes a rule away.
    fn remove_rule(&self, id: u32) -> zbus::Result<()>;

    /// Takes the rules of a file in place of all that are there.
    fn replace_rules(&self, text: &str) -> zbus::Result<()>;

    /// Takes a signed policy of the cloud; its version.
    fn apply_policy(&self, document: &str) -> zbus::Result<u64>;

    /// A device was decided about or left: a [`DecisionReport`](super::DecisionReport).
    #[zbus(signal)]
    fn decided(&self, json: &str) -> zbus::Result<()>;
}
