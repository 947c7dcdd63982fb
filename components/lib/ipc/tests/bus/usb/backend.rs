//! A USB daemon that has one stick, one port and one rule, and writes down what it is told to do.

use std::sync::Mutex;
use std::time::Duration;

use holdfast_ipc::usb::{
    DeviceCounts, DeviceReport, Explanation, Order, Parameter, PortReport, PortsStatus, RuleReport,
    RuleText, RulesStatus, UsbBackend, UsbStatus,
};
use holdfast_ipc::{CallError, ErrorKind};
use holdfast_usb_rules::{Document, Position, Rule, RuleId};

/// The number of the stick.
pub const STICK: u32 = 7;
/// The stick as a rule.
pub const STICK_RULE: &str = "block id 0781:5583 via-port \"1-2\"";

#[derive(Default)]
pub struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// Takes what was asked for since.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

pub fn stick() -> DeviceReport {
    DeviceReport {
        id: STICK,
        device: "1-2".into(),
        port: "pci0000:00/0000:00:04.0/hs/2".into(),
        usb_id: "0781:5583".into(),
        name: "Ultra\u{1b}[2J Fit".into(),
        serial: "4C53\"".into(),
        hash: "q83v".into(),
        interfaces: vec!["08:06:50".into()],
        connect_type: "hotplug".into(),
        authorized: false,
        target: "block".into(),
        reason: "implicit".into(),
        observed: false,
        seconds_left: None,
        rule: STICK_RULE.into(),
    }
}

fn known(device: u32) -> Result<(), CallError> {
    if device == STICK {
        return Ok(());
    }
    Err(CallError::new(ErrorKind::InvalidArgs, format!("there is no device {device}")))
}

impl UsbBackend for Recorder {
    async fn devices(&self) -> Result<Vec<DeviceReport>, CallError> {
        self.note("devices".into());
        Ok(vec![stick()])
    }

    async fn matching(&self, query: Rule) -> Result<Vec<(u32, String)>, CallError> {
        self.note(format!("matching {query}"));
        Ok(vec![(STICK, STICK_RULE.to_owned())])
    }

    async fn ports(&self) -> Result<Vec<PortReport>, CallError> {
        self.note("ports".into());
        Ok(vec![PortReport {
            name: stick().port,
            sysfs: "usb1-port2".into(),
            state: "used".into(),
            enabled: true,
            connect_type: "hotplug".into(),
            device: "1-2".into(),
        }])
    }

    async fn rules(&self) -> Result<Vec<RuleReport>, CallError> {
        self.note("rules".into());
        Ok(vec![RuleReport { id: 1, rule: "allow id 1d6b:*".into(), temporary: false }])
    }

    async fn labelled(&self, label: Option<String>) -> Result<Vec<RuleText>, CallError> {
        self.note(format!("labelled {label:?}"));
        Ok(vec![(RuleId(1), "allow id 1d6b:*".into())])
    }

    async fn status(&self) -> Result<UsbStatus, CallError> {
        self.note("status".into());
        let state = || "device".to_owned();
        Ok(UsbStatus {
            mode: "enforce".into(),
            healthy: true,
            rules: RulesStatus {
                state: state(),
                file: "/var/lib/holdfast/usb/rules.conf".into(),
                error: String::new(),
                count: 1,
            },
            ports: PortsStatus { state: state(), error: String::new(), open: 1, shut: 0 },
            devices: DeviceCounts { allowed: 0, blocked: 1 },
            policy_version: None,
        })
    }

    async fn explain(&self, device: u32) -> Result<Explanation, CallError> {
        self.note(format!("explain {device}"));
        known(device)?;
        Ok(Explanation { device: stick(), rules: Vec::new() })
    }

    async fn generate_policy(&self, with_ports: bool) -> Result<String, CallError> {
        self.note(format!("generate {with_ports}"));
        Ok("allow id 1d6b:*\n".into())
    }

    async fn decide(&self, order: Order) -> Result<Option<RuleId>, CallError> {
        let Order { device, verdict, lasting } = order;
        self.note(format!("decide {device} {verdict} {lasting:?}"));
        known(device)?;
        Ok((lasting == holdfast_ipc::usb::Lasting::Permanent).then_some(RuleId(2)))
    }

    async fn allow_next(&self, within: Duration) -> Result<(), CallError> {
        self.note(format!("allow next {within:?}"));
        Ok(())
    }

    async fn set_port(&self, port: String, enabled: bool) -> Result<(), CallError> {
        self.note(format!("port {port} {enabled}"));
        Ok(())
    }

    async fn append_rule(
        &self,
        rule: Rule,
        position: Position,
        temporary: bool,
    ) -> Result<RuleId, CallError> {
        self.note(format!("append {rule} {position:?} {temporary}"));
        Ok(RuleId(3))
    }

    async fn remove_rule(&self, rule: RuleId) -> Result<(), CallError> {
        self.note(format!("remove {rule}"));
        Ok(())
    }

    async fn replace_rules(&self, document: Document) -> Result<(), CallError> {
        self.note(format!("replace {:?}", String::from_utf8(document.to_bytes()).unwrap()));
        Ok(())
    }

    async fn apply_policy(&self, document: String) -> Result<u64, CallError> {
        self.note(format!("policy of {} bytes", document.len()));
        Ok(7)
    }

    async fn parameter(&self, parameter: Parameter) -> Result<&'static str, CallError> {
        self.note(format!("parameter {}", parameter.name()));
        Ok("apply-policy")
    }

    async fn set_parameter(
        &self,
        parameter: Parameter,
        value: &'static str,
    ) -> Result<&'static str, CallError> {
        self.note(format!("set {} {value}", parameter.name()));
        Ok("apply-policy")
    }
}
