//! USBGuard's face, to the letter, so that its clients work unchanged. Roles stand in the place of
//! its polkit actions.

use std::collections::BTreeMap;

use holdfast_usb_rules::{RuleId, Verdict};
use zbus::{Connection, interface, message::Header, object_server::SignalEmitter};

use super::service::{Origin, Service, role_to_decide};
use super::{Lasting, Order, UsbBackend, argument};
use crate::{Call, CallError, ErrorKind, Role};

pub(super) use UsbguardDevicesSignals as DevicesSignals;
pub(super) use UsbguardSignals as RootSignals;

/// Number of no rule at all, where a decision was not made by one (USBGuard's `DefaultID`).
const NO_RULE: u32 = u32::MAX;

/// The object at [`ROOT_PATH`](super::usbguard_names::ROOT_PATH): parameters.
pub struct Usbguard<B: UsbBackend>(pub(super) Service<B>);

/// The object at [`POLICY_PATH`](super::usbguard_names::POLICY_PATH): rules.
pub struct UsbguardPolicy<B: UsbBackend>(pub(super) Service<B>);

/// The object at [`DEVICES_PATH`](super::usbguard_names::DEVICES_PATH): devices.
pub struct UsbguardDevices<B: UsbBackend>(pub(super) Service<B>);

/// A verdict as USBGuard numbers them.
pub(super) const fn number(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Block => 1,
        Verdict::Reject => 2,
    }
}

fn verdict(target: u32) -> Result<Verdict, CallError> {
    Verdict::ALL.into_iter().find(|verdict| number(*verdict) == target).ok_or_else(|| {
        let message = format!("{target} is not a target; 0 allows, 1 blocks, 2 rejects");
        CallError::new(ErrorKind::InvalidArgs, message)
    })
}

#[interface(name = "org.usbguard1", introspection_docs = false)]
impl<B: UsbBackend> Usbguard<B> {
    #[zbus(name = "getParameter", out_args("value"))]
    async fn get_parameter(
        &self,
        name: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let from = Origin { connection, header: &header };
        let arguments: [&[u8]; 1] = [name.as_bytes()];
        let call = Call { action: "usb.parameter", target: &name, arguments: &arguments };
        let backend = self.0.admit_viewer(from, &call).await?;
        backend.parameter(argument::parameter(&name)?).await.map(str::to_owned)
    }

    #[zbus(name = "setParameter", out_args("previous_value"))]
    async fn set_parameter(
        &self,
        name: String,
        value: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let from = Origin { connection, header: &header };
        let arguments: [&[u8]; 2] = [name.as_bytes(), value.as_bytes()];
        let call = Call { action: "usb.parameter-set", target: &name, arguments: &arguments };
        let operation = async {
            let parameter = argument::parameter(&name)?;
            let value = argument::value(parameter, &value)?;
            self.0.backend().set_parameter(parameter, value).await.map(str::to_owned)
        };
        self.0.change(from, Role::Admin, &call, operation).await
    }

    #[zbus(signal)]
    async fn property_parameter_changed(
        emitter: &SignalEmitter<'_>,
        name: &str,
        value_old: &str,
        value_new: &str,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn exception_message(
        emitter: &SignalEmitter<'_>,
        context: &str,
        object: &str,
        reason: &str,
    ) -> zbus::Result<()>;
}

#[interface(name = "org.usbguard.Policy1", introspection_docs = false)]
impl<B: UsbBackend> UsbguardPolicy<B> {
    #[zbus(name = "listRules", out_args("ruleset"))]
    async fn list_rules(
        &self,
        label: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<(u32, String)>, CallError> {
        let from = Origin { connection, header: &header };
        let arguments: [&[u8]; 1] = [label.as_bytes()];
        let call = Call { action: "usb.rules", target: "", arguments: &arguments };
        let backend = self.0.admit_viewer(from, &call).await?;
        let label = Some(label).filter(|label| !label.is_empty());
        let rules = backend.labelled(label).await?;
        Ok(rules.into_iter().map(|(RuleId(id), text)| (id, text)).collect())
    }

    #[zbus(name = "appendRule", out_args("id"))]
    async fn append_rule(
        &self,
        rule: String,
        parent_id: u32,
        temporary: bool,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u32, CallError> {
        let from = Origin { connection, header: &header };
        self.0.append_rule(from, &rule, parent_id, temporary).await
    }

    #[zbus(name = "removeRule")]
    async fn remove_rule(
        &self,
        id: u32,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), CallError> {
        self.0.remove_rule(Origin { connection, header: &header }, id).await
    }
}

#[interface(name = "org.usbguard.Devices1", introspection_docs = false)]
impl<B: UsbBackend> UsbguardDevices<B> {
    #[zbus(name = "listDevices", out_args("devices"))]
    async fn list_devices(
        &self,
        query: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<(u32, String)>, CallError> {
        let from = Origin { connection, header: &header };
        let arguments: [&[u8]; 1] = [query.as_bytes()];
        let call = Call { action: "usb.devices", target: "", arguments: &arguments };
        let backend = self.0.admit_viewer(from, &call).await?;
        backend.matching(argument::query(&query)?).await
    }

    #[zbus(name = "applyDevicePolicy", out_args("rule_id"))]
    async fn apply_device_policy(
        &self,
        id: u32,
        target: u32,
        permanent: bool,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u32, CallError> {
        let from = Origin { connection, header: &header };
        let device = id.to_string();
        let arguments: [&[u8]; 3] =
            [&id.to_be_bytes(), &target.to_be_bytes(), &[u8::from(permanent)]];
        let call = Call { action: "usb.decide", target: &device, arguments: &arguments };
        let lasting = if permanent { Lasting::Permanent } else { Lasting::Presence };
        let operation = async {
            let order = Order { device: id, verdict: verdict(target)?, lasting };
            self.0.backend().decide(order).await
        };
        let rule = self.0.change(from, role_to_decide(permanent), &call, operation).await?;
        Ok(rule.map_or(NO_RULE, |RuleId(id)| id))
    }

    #[zbus(signal)]
    async fn device_presence_changed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        event: u32,
        target: u32,
        device_rule: &str,
        attributes: BTreeMap<&str, String>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn device_policy_changed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        target_old: u32,
        target_new: u32,
        device_rule: &str,
        rule_id: u32,
        attributes: BTreeMap<&str, String>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn device_policy_applied(
        emitter: &SignalEmitter<'_>,
        id: u32,
        target_new: u32,
        device_rule: &str,
        rule_id: u32,
        attributes: BTreeMap<&str, String>,
    ) -> zbus::Result<()>;
}
