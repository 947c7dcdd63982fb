//! What the bus asks, handed to the thread that knows.

use std::time::Duration;

use holdfast_ipc::usb::{
    DeviceReport, Explanation, Order, Parameter, PortReport, RuleReport, RuleText, UsbBackend,
    UsbStatus,
};
use holdfast_ipc::{CallError, ErrorKind};
use holdfast_policy_document::ReadPolicy;
use holdfast_usb_rules::{Document, Position, Rule, RuleId};
use zbus::Connection;

use crate::blocker::Blocker;
use crate::clock::Now;
use crate::policy::DeviceIdentity;
use crate::sysfs::SysfsTree;
use crate::worker::Worker;

/// The work behind the daemon's interfaces.
#[derive(Debug, Clone)]
pub struct Service {
    worker: Worker<SysfsTree>,
    bus: Connection,
}

impl Service {
    /// Hands work to a thread; the bus is where the enroller is.
    pub fn new(worker: Worker<SysfsTree>, bus: Connection) -> Self {
        Self { worker, bus }
    }
}

impl UsbBackend for Service {
    async fn devices(&self) -> Result<Vec<DeviceReport>, CallError> {
        self.worker.ask(Blocker::devices).await
    }

    async fn matching(&self, query: Rule) -> Result<Vec<(u32, String)>, CallError> {
        self.worker.ask(move |blocker, _| blocker.matching(&query)).await
    }

    async fn ports(&self) -> Result<Vec<PortReport>, CallError> {
        self.worker.ask(|blocker, _| blocker.ports()).await
    }

    async fn rules(&self) -> Result<Vec<RuleReport>, CallError> {
        self.worker.ask(|blocker, _| blocker.rules()).await
    }

    async fn labelled(&self, label: Option<String>) -> Result<Vec<RuleText>, CallError> {
        self.worker.ask(move |blocker, _| blocker.labelled(label.as_deref())).await
    }

    async fn status(&self) -> Result<UsbStatus, CallError> {
        self.worker.ask(|blocker, _| blocker.status()).await
    }

    async fn explain(&self, device: u32) -> Result<Explanation, CallError> {
        self.worker.ask(move |blocker, now| blocker.explain(device, now)).await?
    }

    async fn generate_policy(&self, with_ports: bool) -> Result<String, CallError> {
        self.worker.ask(move |blocker, _| blocker.generate_policy(with_ports)).await
    }

    async fn decide(&self, order: Order) -> Result<Option<RuleId>, CallError> {
        self.worker.change(move |blocker, now| blocker.decide(order, now)).await
    }

    async fn allow_next(&self, within: Duration) -> Result<(), CallError> {
        let allow = move |blocker: &mut Blocker<_>, now: &Now| {
            blocker.allow_next(within, now);
            Ok(())
        };
        self.worker.change(allow).await
    }

    async fn set_port(&self, port: String, enabled: bool) -> Result<(), CallError> {
        self.worker.change(move |blocker, _| blocker.set_port(&port, enabled)).await
    }

    async fn append_rule(
        &self,
        rule: Rule,
        position: Position,
        temporary: bool,
    ) -> Result<RuleId, CallError> {
        self.worker.change(move |blocker, _| blocker.append_rule(&rule, position, temporary)).await
    }

    async fn remove_rule(&self, rule: RuleId) -> Result<(), CallError> {
        self.worker.change(move |blocker, _| blocker.remove_rule(rule)).await
    }

    async fn replace_rules(&self, document: Document) -> Result<(), CallError> {
        self.worker.change(move |blocker, _| blocker.replace_rules(document)).await
    }

    async fn apply_policy(&self, document: String) -> Result<u64, CallError> {
        let identity = DeviceIdentity::of_bus(&self.bus).await;
        let identity = identity.map_err(|e| CallError::new(ErrorKind::NotReady, e.to_string()))?;
        self.worker
            .change(move |blocker, _| {
                let judge =
                    |document: &[u8], taken: Option<&ReadPolicy>| identity.judge(document, taken);
                blocker.take_policy(document.as_bytes(), judge)
            })
            .await
    }

    async fn parameter(&self, parameter: Parameter) -> Result<&'static str, CallError> {
        self.worker.ask(move |blocker, _| blocker.parameter(parameter)).await
    }

    async fn set_parameter(
        &self,
        parameter: Parameter,
        value: &'static str,
    ) -> Result<&'static str, CallError> {
        self.worker.change(move |blocker, _| blocker.set_parameter(parameter, value)).await
    }
}
