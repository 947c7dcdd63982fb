//! Our own face: reports as JSON, decisions that end, ports.

use holdfast_usb_rules::RuleId;
use serde::Serialize;
use zbus::{Connection, interface, message::Header, object_server::SignalEmitter};

use super::service::{Origin, Service, role_to_decide};
use super::{Order, UsbBackend, argument};
use crate::{Call, CallError, ErrorKind, Role};

pub(super) use Usb1Signals as Signals;

/// The object at [`OBJECT_PATH`](super::OBJECT_PATH).
pub struct Usb1<B: UsbBackend>(pub(super) Service<B>);

fn json(value: &impl Serialize) -> Result<String, CallError> {
    serde_json::to_string(value)
        .map_err(|error| CallError::new(ErrorKind::Failed, format!("no JSON: {error}")))
}

const fn without_arguments(action: &'static str) -> Call<'static> {
    Call { action, target: "", arguments: &[] }
}

impl<B: UsbBackend> Usb1<B> {
    async fn set_port(&self, from: Origin<'_>, port: String, on: bool) -> Result<(), CallError> {
        let action = if on { "usb.port-enable" } else { "usb.port-disable" };
        let arguments: [&[u8]; 1] = [port.as_bytes()];
        let call = Call { action, target: &port, arguments: &arguments };
        let operation = self.0.backend().set_port(port.clone(), on);
        self.0.change(from, Role::Admin, &call, operation).await
    }
}

#[interface(name = "org.holdfast.Usb1", introspection_docs = false)]
impl<B: UsbBackend> Usb1<B> {
    #[zbus(out_args("json"))]
    async fn list_devices(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let from = Origin { connection, header: &header };
        let backend = self.0.admit_viewer(from, &without_arguments("usb.devices")).await?;
        json(&backend.devices().await?)
    }

    #[zbus(out_args("json"))]
    async fn list_ports(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let from = Origin { connection, header: &header };
        let backend = self.0.admit_viewer(from, &without_arguments("usb.ports")).await?;
        json(&backend.ports().await?)
    }

    #[zbus(out_args("json"))]
    async fn list_rules(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let from = Origin { connection, header: &header };
        let backend = self.0.admit_viewer(from, &without_arguments("usb.rules")).await?;
        json(&backend.rules().await?)
    }

    #[zbus(out_args("json"))]
    async fn status(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let from = Origin { connection, header: &header };
        let backend = self.0.admit_viewer(from, &without_arguments("usb.status")).await?;
        json(&backend.status().await?)
    }

    #[zbus(out_args("json"))]
    async fn explain(
        &self,
        device: u32,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let from = Origin { connection, header: &header };
        let target = device.to_string();
        let arguments: [&[u8]; 1] = [&device.to_be_bytes()];
        let call = Call { action: "usb.explain", target: &target, arguments: &arguments };
        let backend = self.0.admit_viewer(from, &call).await?;
        json(&backend.explain(device).await?)
    }

    #[zbus(out_args("text"))]
    async fn generate_policy(
        &self,
        with_ports: bool,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let from = Origin { connection, header: &header };
        let arguments: [&[u8]; 1] = [&[u8::from(with_ports)]];
        let call = Call { action: "usb.generate-policy", target: "", arguments: &arguments };
        let backend = self.0.admit_viewer(from, &call).await?;
        backend.generate_policy(with_ports).await
    }

    #[zbus(out_args("rule"))]
    async fn decide(
        &self,
        device: u32,
        target: String,
        seconds: u32,
        permanent: bool,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u32, CallError> {
        let from = Origin { connection, header: &header };
        let number = device.to_string();
        let arguments: [&[u8]; 4] = [
            &device.to_be_bytes(),
            target.as_bytes(),
            &seconds.to_be_bytes(),
            &[u8::from(permanent)],
        ];
        let call = Call { action: "usb.decide", target: &number, arguments: &arguments };
        let operation = async {
            let verdict = argument::verdict(&target)?;
            let lasting = argument::lasting(seconds, permanent)?;
            self.0.backend().decide(Order { device, verdict, lasting }).await
        };
        let rule = self.0.change(from, role_to_decide(permanent), &call, operation).await?;
        Ok(rule.map_or(0, |RuleId(id)| id))
    }

    async fn allow_next(
        &self,
        seconds: u32,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), CallError> {
        let from = Origin { connection, header: &header };
        let arguments: [&[u8]; 1] = [&seconds.to_be_bytes()];
        let call = Call { action: "usb.allow-next", target: "", arguments: &arguments };
        let operation = async { self.0.backend().allow_next(argument::within(seconds)?).await };
        self.0.change(from, Role::Operator, &call, operation).await
    }

    async fn enable_port(
        &self,
        port: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), CallError> {
        self.set_port(Origin { connection, header: &header }, port, true).await
    }

    async fn disable_port(
        &self,
        port: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), CallError> {
        self.set_port(Origin { connection, header: &header }, port, false).await
    }

    #[zbus(out_args("id"))]
    async fn append_rule(
        &self,
        rule: String,
        after: u32,
        temporary: bool,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u32, CallError> {
        let from = Origin { connection, header: &header };
        self.0.append_rule(from, &rule, after, temporary).await
    }

    async fn remove_rule(
        &self,
        id: u32,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), CallError> {
        self.0.remove_rule(Origin { connection, header: &header }, id).await
    }

    async fn replace_rules(
        &self,
        text: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), CallError> {
        let from = Origin { connection, header: &header };
        let arguments: [&[u8]; 1] = [text.as_bytes()];
        let call = Call { action: "usb.rules-replace", target: "", arguments: &arguments };
        let operation = async { self.0.backend().replace_rules(argument::document(&text)?).await };
        self.0.change(from, Role::Admin, &call, operation).await
    }

    #[zbus(out_args("version"))]
    async fn apply_policy(
        &self,
        document: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u64, CallError> {
        self.0.apply_policy(Origin { connection, header: &header }, document).await
    }

    #[zbus(signal)]
    async fn decided(emitter: &SignalEmitter<'_>, json: &str) -> zbus::Result<()>;
}
