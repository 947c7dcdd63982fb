//! `org.holdfast.Usb1` and USBGuard's interfaces: who may what, what reaches the daemon, what is
//! recorded of it, and the signals.

mod backend;
mod methods;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::StreamExt;
use holdfast_ipc::usb::{
    DecisionReport, DeviceFacts, DeviceReport, INTERFACE, Presence, Usb1Proxy, UsbEvent, UsbEvents,
    UsbStatus, serve, usbguard_names as usbguard,
};
use holdfast_ipc::{CallError, ErrorKind, Guard, Role};
use holdfast_usb_rules::Verdict;
use zbus::Connection;

use crate::client::{Cast, Object, call_object, can_be_others, printed};
use crate::introspection::{Described, assert_as_committed};
use crate::private_bus::OPEN;
use crate::private_bus::PrivateBus;
use crate::service::Log;
use backend::{Recorder, STICK, STICK_RULE, stick};
use methods::{APPEND, APPLY, DECIDE, NEXT, REPLACE, object_of};

pub use methods::{METHODS, POLICY};

/// The service under test.
pub struct Usb {
    _connection: Connection,
    backend: Arc<Recorder>,
    events: UsbEvents,
    pub log: Arc<Log>,
}

impl Usb {
    pub async fn start(bus: &PrivateBus) -> Self {
        let (backend, log) = (Arc::new(Recorder::default()), Arc::new(Log::default()));
        let connection = bus.connect().await;
        let guard = Guard::new("usb", Cast::of_this_machine().groups(), log.clone()).unwrap();
        let (events, stream) = UsbEvents::new();
        serve(&connection, backend.clone(), guard, stream).await.unwrap();
        Self { _connection: connection, backend, events, log }
    }
}

#[tokio::test]
async fn introspection_equals_the_committed_usb_interfaces() {
    let bus = PrivateBus::start(OPEN);
    let _service = Usb::start(&bus).await;
    let client = bus.connect().await;
    for (interface, file) in [
        (INTERFACE, "org.holdfast.Usb1.xml"),
        (usbguard::ROOT_INTERFACE, "org.usbguard1.xml"),
        (usbguard::POLICY_INTERFACE, "org.usbguard1.xml"),
        (usbguard::DEVICES_INTERFACE, "org.usbguard1.xml"),
    ] {
        let Object { name, path } = object_of(&format!("{interface}."));
        let described = Described { bus_name: name, path, interface, file };
        assert_as_committed(&client, &described).await;
    }
}

#[test]
fn every_committed_usb_method_is_called_here() {
    let committed = [
        include_str!(
            "../../../../../../rootfs-overlay/usr/share/dbus-1/interfaces/org.holdfast.Usb1.xml"
        ),
        include_str!(
            "../../../../../../rootfs-overlay/usr/share/dbus-1/interfaces/org.usbguard1.xml"
        ),
    ]
    .concat();
    let names = committed.lines().filter_map(|line| line.trim().strip_prefix("<method name=\""));
    for name in names.map(|rest| rest.trim_end_matches("\">")) {
        let is_called = METHODS.iter().any(|method| method.name.ends_with(&format!(".{name}")));
        assert!(is_called, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usb_is_each_methods_role_and_every_change_is_recorded() {
    if !can_be_others() {
        return;
    }
    let Cast { stranger, viewer, operator, admin, .. } = Cast::of_this_machine();
    let bus = PrivateBus::start(OPEN);
    let service = Usb::start(&bus).await;
    let cast = [
        (stranger, None),
        (viewer, Some(Role::Viewer)),
        (operator, Some(Role::Operator)),
        (admin, Some(Role::Admin)),
    ];
    for method in METHODS {
        for (who, role) in cast {
            let context = format!("{} {:?} by {role:?}", method.name, method.arguments);
            let result = method.call(&bus, who);
            let (recorded, work) = (service.log.take(), service.backend.take());
            if role >= Some(method.role) {
                assert!(result.as_ref().is_ok_and(|a| a.contains(method.answer)), "{result:?}");
                assert_eq!(work, [method.work], "{context}");
                let change = format!("{} Allowed Ok uid={}", method.record, who.uid);
                let expected = if method.role == Role::Viewer { vec![] } else { vec![change] };
                assert_eq!(recorded, expected, "{context}");
            } else {
                assert!(result.is_err_and(|e| e.contains("AccessDenied")), "{context}");
                assert!(work.is_empty(), "{context}: {work:?}");
                let denied = format!("{} Denied Failed uid={}", method.record, who.uid);
                assert_eq!(recorded, [denied], "{context}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usb_arguments_that_cannot_be_meant_are_refused_by_name() {
    if !can_be_others() {
        return;
    }
    let Cast { operator, admin, .. } = Cast::of_this_machine();
    let bus = PrivateBus::start(OPEN);
    let service = Usb::start(&bus).await;
    let table: &[(&str, &[&str], &str)] = &[
        (DECIDE, &["7", "match", "0", "false"], "allow, block or reject"),
        (DECIDE, &["7", "allow", "86401", "false"], "86401 seconds; it is 1 to 86400"),
        (DECIDE, &["7", "allow", "5", "true"], "a permanent decision does not end"),
        (NEXT, &["0"], "0 seconds; it is 1 to 86400"),
        (NEXT, &["86401"], "86401 seconds"),
        (APPEND, &["allow serail 1", "0", "false"], "line 1, column 7: unknown attribute"),
        (APPEND, &["match", "0", "false"], "line 1, column 1: the target match"),
        (REPLACE, &["device"], "line 1, column 1: the target device"),
        ("org.usbguard.Policy1.appendRule", &["allow 1", "0", "false"], "line 1, column 7"),
        (APPLY, &["7", "3", "false"], "3 is not a target"),
        ("org.usbguard1.setParameter", &["RuleFile", "x"], "\"RuleFile\" is not a parameter"),
        ("org.usbguard1.setParameter", &["ImplicitPolicyTarget", "match"], "is not a value of"),
    ];
    for (method, arguments, part) in table {
        let call = |who| call_object(&bus, who, object_of(method), method, arguments);
        let error = call(admin).unwrap_err();
        assert!(error.contains("InvalidArgs") && error.contains(part), "{method}: {error}");
        assert!(service.backend.take().is_empty(), "{method} {arguments:?}");
        let [allowed, failed] = &service.log.take()[..] else { panic!("{method}: not 2 records") };
        assert!(allowed.contains(" Allowed Ok ") && failed.contains(" Allowed Failed "));
        if !matches!(*method, DECIDE | NEXT | APPLY) {
            let refusal = call(operator).unwrap_err();
            assert!(refusal.contains("AccessDenied") && !refusal.contains(part), "{refusal}");
            service.log.take();
        }
    }
    for (method, arguments) in [
        ("org.usbguard.Devices1.listDevices", &["with-interface 8"]),
        ("org.usbguard1.getParameter", &["RuleFile"]),
        ("org.holdfast.Usb1.Explain", &["8"]),
    ] {
        let error = call_object(&bus, admin, object_of(method), method, arguments).unwrap_err();
        assert!(error.contains("InvalidArgs"), "{method}: {error}");
        assert!(service.log.take().is_empty(), "{method}: reading is not recorded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usb_stays_as_it_is_without_a_record() {
    if !can_be_others() {
        return;
    }
    let bus = PrivateBus::start(OPEN);
    let service = Usb::start(&bus).await;
    service.log.full.store(true, Ordering::SeqCst);
    let proxy = Usb1Proxy::new(&bus.connect().await).await.unwrap();
    let error = proxy.decide(STICK, "allow", 0, false).await.unwrap_err();
    let error = CallError::from_reply(&error).unwrap();
    assert_eq!(error.kind, ErrorKind::AuditUnavailable, "{error}");
    assert!(service.backend.take().is_empty());
    // Who may look needs no record for it.
    let devices = proxy.list_devices().await.unwrap();
    assert_eq!(serde_json::from_str::<Vec<DeviceReport>>(&devices).unwrap(), [stick()]);
    let status: UsbStatus = serde_json::from_str(&proxy.status().await.unwrap()).unwrap();
    assert!(status.healthy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busctl_calls_usbguard_by_its_names() {
    if !can_be_others() {
        return;
    }
    let bus = PrivateBus::start(OPEN);
    let service = Usb::start(&bus).await;
    let table: &[(&str, &str, &[&str], &str)] = &[
        (
            usbguard::DEVICES_INTERFACE,
            "listDevices",
            &["s", "match"],
            r#"a(us) 1 7 "block id 0781:5583 via-port \"1-2\"""#,
        ),
        (usbguard::DEVICES_INTERFACE, "applyDevicePolicy", &["uub", "7", "1", "true"], "u 2"),
        (usbguard::POLICY_INTERFACE, "listRules", &["s", ""], r#"a(us) 1 1 "allow id 1d6b:*""#),
        (usbguard::POLICY_INTERFACE, "appendRule", &["sub", "allow", "0", "false"], "u 3"),
        (usbguard::ROOT_INTERFACE, "getParameter", &["s", "ImplicitPolicyTarget"], "s \"apply"),
    ];
    for (interface, method, arguments, part) in table {
        let Object { name, path } = object_of(&format!("{interface}.{method}"));
        let mut busctl = Command::new("busctl");
        busctl.arg(format!("--address={}", bus.address)).args(["call", name, path, interface]);
        let output = busctl.arg(method).args(*arguments).output();
        let answer = printed(&output.expect("busctl is needed: install the package systemd"));
        assert!(answer.as_ref().is_ok_and(|answer| answer.starts_with(part)), "{answer:?}");
    }
    assert_eq!(service.backend.take().len(), table.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_policy_names_its_version() {
    if !can_be_others() {
        return;
    }
    let bus = PrivateBus::start(OPEN);
    let service = Usb::start(&bus).await;
    let document = include_str!("../../../../policy-document/fuzz/corpus/policy_document/complete");
    let proxy = Usb1Proxy::new(&bus.connect().await).await.unwrap();
    assert_eq!(proxy.apply_policy(document).await.unwrap(), 7);
    assert_eq!(service.log.take(), ["usb.policy-apply 7 Allowed Ok uid=0"]);
    assert_eq!(service.backend.take(), [format!("policy of {} bytes", document.len())]);
}

/// A foreign client that prints the signals of a name.
struct Monitor {
    gdbus: Child,
    lines: mpsc::Receiver<String>,
}

impl Monitor {
    const PROBE: &str = "does anybody hear";

    /// Starts it and waits until it hears.
    fn of(bus: &PrivateBus, name: &str, events: &UsbEvents) -> Self {
        let mut gdbus = Command::new("gdbus")
            .args(["monitor", "--address", &bus.address, "--dest", name])
            .stdout(Stdio::piped())
            .spawn()
            .expect("gdbus is needed: install the package libglib2.0-bin");
        let printed = BufReader::new(gdbus.stdout.take().unwrap()).lines();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || printed.map_while(Result::ok).try_for_each(|l| sender.send(l)));
        let monitor = Self { gdbus, lines };
        // It says whom it listens to before the bus sends it anything.
        let hears = || {
            events.tell(UsbEvent::Exception {
                context: Self::PROBE.to_owned(),
                object: String::new(),
                reason: String::new(),
            });
            let line = monitor.lines.recv_timeout(Duration::from_millis(20));
            line.is_ok_and(|line| line.contains(Self::PROBE))
        };
        assert!((0..500).any(|_| hears()), "gdbus hears nothing");
        monitor
    }

    fn next(&mut self) -> String {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(10)).expect("a signal in time");
            if !line.contains(Self::PROBE) {
                return line;
            }
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.gdbus.kill();
        let _ = self.gdbus.wait();
    }
}

fn facts() -> DeviceFacts {
    DeviceFacts {
        id: STICK,
        rule: STICK_RULE.to_owned(),
        attributes: vec![("id", "0781:5583".into()), ("name", "Ultra\0Fit".into())],
    }
}

fn decided(target: &str, old: Option<Verdict>, new: Verdict, rule: Option<u32>) -> UsbEvent {
    let report = DecisionReport {
        id: STICK,
        device: "1-2".into(),
        usb_id: "0781:5583".into(),
        name: "Ultra".into(),
        target: target.into(),
        reason: "implicit".into(),
        rule: STICK_RULE.into(),
        observed: false,
    };
    UsbEvent::Decided { report, device: facts(), old, new, rule }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usb_events_become_signals_with_their_values() {
    use Verdict::{Allow, Block, Reject};
    let bus = PrivateBus::start(OPEN);
    let service = Usb::start(&bus).await;
    let mut monitor = Monitor::of(&bus, usbguard::BUS_NAME, &service.events);
    let rule = r#"'block id 0781:5583 via-port "1-2"'"#;
    let attributes = "{'id': '0781:5583', 'name': 'Ultra\u{fffd}Fit'}";
    let devices = |signal: &str| format!("/org/usbguard1/Devices: org.usbguard.Devices1.{signal}");

    for (presence, number) in [
        (Presence::Present, 0),
        (Presence::Insert, 1),
        (Presence::Update, 2),
        (Presence::Remove, 3),
    ] {
        service.events.tell(UsbEvent::Presence { device: facts(), presence, verdict: Reject });
        let values = format!("(uint32 7, uint32 {number}, uint32 2, {rule}, {attributes})");
        assert_eq!(monitor.next(), format!("{} {values}", devices("DevicePresenceChanged")));
    }
    for (old, new, by, old_number, new_number, by_number) in [
        (None, Allow, Some(3), Some(1), 0, 3),
        (None, Block, None, None, 1, u32::MAX - 1),
        (Some(Allow), Reject, Some(4), Some(0), 2, 4),
        (Some(Allow), Allow, Some(4), None, 0, 4),
    ] {
        service.events.tell(decided(new.name(), old, new, by));
        let told = monitor.next();
        assert!(told.starts_with("/org/holdfast/Usb1: org.holdfast.Usb1.Decided ('{"), "{told}");
        assert!(told.contains(&format!(r#""target":"{new}""#)), "{told}");
        let values = format!("uint32 {new_number}, {rule}, uint32 {by_number}, {attributes})");
        if let Some(old) = old_number {
            let changed = devices("DevicePolicyChanged");
            assert_eq!(monitor.next(), format!("{changed} (uint32 7, uint32 {old}, {values}"));
        }
        let applied = devices("DevicePolicyApplied");
        assert_eq!(monitor.next(), format!("{applied} (uint32 7, {values}"));
    }
    // It left: that is no decision to USBGuard's clients.
    service.events.tell(decided("remove", Some(Block), Block, None));
    assert!(monitor.next().contains(r#""target":"remove""#));
    let name = "InsertedDevicePolicy";
    service.events.tell(UsbEvent::Parameter { name, old: "apply-policy", new: "block" });
    assert_eq!(
        monitor.next(),
        "/org/usbguard1: org.usbguard1.PropertyParameterChanged \
         ('InsertedDevicePolicy', 'apply-policy', 'block')"
    );
    let [context, object, reason] = ["rules", "line 3", "unknown"].map(str::to_owned);
    service.events.tell(UsbEvent::Exception { context, object, reason });
    let exception = "/org/usbguard1: org.usbguard1.ExceptionMessage ('rules', 'line 3', 'unknown')";
    assert_eq!(monitor.next(), exception);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_arrives_as_its_report() {
    let bus = PrivateBus::start(OPEN);
    let service = Usb::start(&bus).await;
    let proxy = Usb1Proxy::new(&bus.connect().await).await.unwrap();
    let mut stream = proxy.receive_decided().await.unwrap();
    let event = decided("allow", None, Verdict::Allow, Some(3));
    service.events.tell(event.clone());
    let signal = tokio::time::timeout(Duration::from_secs(10), stream.next());
    let signal = signal.await.expect("a signal in time").unwrap();
    let told: DecisionReport = serde_json::from_str(signal.args().unwrap().json()).unwrap();
    assert!(matches!(event, UsbEvent::Decided { report, .. } if report == told));
}
