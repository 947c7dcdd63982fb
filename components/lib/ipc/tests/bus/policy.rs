//! The bus policy that the image ships, loaded by a real bus.

use std::path::Path;

use holdfast_ipc::Role;
use holdfast_ipc::identity::BUS_NAME;
use holdfast_ipc::usb::{self, usbguard_names};

use super::client::{Cast, Object, Who, call, call_any, call_object, can_be_others};
use super::private_bus::PrivateBus;
use super::service::Service;
use super::usb::{METHODS, POLICY, Usb};

/// As much of the system bus's own policy as matters, then the shipped one with ids in place of
/// names that this machine does not have.
///
/// `user` is the daemon's; the service under test runs as this process.
fn shipped_policy(cast: &Cast, bus_name: &str, user: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../rootfs-overlay/usr/share/dbus-1/system.d")
        .join(format!("{bus_name}.conf"));
    let text = std::fs::read_to_string(path).unwrap();
    let policies = text
        .split_once("<busconfig>")
        .and_then(|(_, rest)| rest.split_once("</busconfig>"))
        .unwrap()
        .0
        .replace("holdfast-viewer", &cast.viewer.gid.to_string())
        .replace("holdfast-operator", &cast.operator.gid.to_string())
        .replace("holdfast-admin", &cast.admin.gid.to_string())
        .replace(&format!("user=\"{user}\""), "user=\"0\"");
    format!(
        r#"<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
           <allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
           <allow send_requested_reply="true" send_type="error"/>
           <allow receive_type="method_call"/><allow receive_type="method_return"/>
           <allow receive_type="error"/><allow receive_type="signal"/>
           <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
           </policy>{policies}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_open_but_what_is_named() {
    if !can_be_others() {
        return;
    }
    let cast = Cast::of_this_machine();
    let bus = PrivateBus::start(&shipped_policy(&cast, BUS_NAME, "holdfast-enroll"));
    let service = Service::start(&bus).await;
    let Cast { stranger, viewer, operator, admin, .. } = cast;
    let get_all = ("org.freedesktop.DBus.Properties.GetAll", &["org.holdfast.Identity1"][..]);
    for (who, open) in [(stranger, false), (viewer, true), (operator, true), (admin, true)] {
        let result = call_any(&bus, who, get_all.0, get_all.1);
        assert_eq!(result.is_ok(), open, "{who:?}: {result:?}");
        assert_eq!(call(&bus, who, "Check", &[]).is_ok(), open, "{who:?}");
        if open {
            assert!(result.unwrap().contains("'EdgeId': <'EDGE-1'>"));
        }
    }
    let seal = ["file", "[1]"];
    for (who, open) in [(stranger, false), (viewer, false), (operator, true), (admin, true)] {
        let result = call(&bus, who, "Seal", &seal);
        assert_eq!(result.is_ok(), open, "{who:?}: {result:?}");
    }
    // The bus stopped the two before the service saw them.
    assert_eq!(service.log.take().len(), 2);
    for (who, open) in [(stranger, false), (viewer, false), (operator, true), (admin, true)] {
        assert_eq!(call(&bus, who, "Renew", &[]).is_ok(), open, "{who:?}");
    }
    assert_eq!(service.log.take().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usb_is_read_by_viewers_and_decided_about_by_operators() {
    if !can_be_others() {
        return;
    }
    let cast = Cast::of_this_machine();
    let bus = PrivateBus::start(&shipped_policy(&cast, usb::BUS_NAME, "holdfast-usb"));
    let service = Usb::start(&bus).await;
    let Cast { stranger, viewer, operator, admin, .. } = cast;
    for method in METHODS {
        let reads = method.role == Role::Viewer;
        for (who, open) in [(stranger, false), (viewer, reads), (operator, true), (admin, true)] {
            let result = method.call(&bus, who);
            // Whom the bus lets through, the service asks for his role.
            let is_stopped_by_the_bus =
                result.as_ref().is_err_and(|error| error.contains("Rejected send message"));
            assert_eq!(is_stopped_by_the_bus, !open, "{} {who:?}: {result:?}", method.name);
            assert!(open || service.log.take().is_empty(), "{} {who:?}", method.name);
            service.log.take();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_enroller_hands_policies_to_usb_and_nothing_else() {
    if !can_be_others() {
        return;
    }
    let cast = Cast::of_this_machine();
    let enroller = cast.stranger;
    let policy = shipped_policy(&cast, usb::BUS_NAME, "holdfast-usb")
        .replace("user=\"holdfast-enroll\"", &format!("user=\"{}\"", enroller.uid));
    let bus = PrivateBus::start(&policy);
    let service = Usb::start(&bus).await;
    for method in METHODS {
        let error = method.call(&bus, enroller).unwrap_err();
        let is_stopped_by_the_bus = error.contains("Rejected send message");
        assert_eq!(is_stopped_by_the_bus, method.name != POLICY, "{}: {error}", method.name);
    }
    // Whom the bus lets through is not yet the unit.
    let denied = format!("usb.policy-apply  Denied Failed uid={}", enroller.uid);
    assert_eq!(service.log.take(), [denied]);
}

/// Asks the bus for a name; its complaint.
fn request_name(bus: &PrivateBus, who: Who, name: &str) -> String {
    let object = Object { name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus" };
    let method = "org.freedesktop.DBus.RequestName";
    call_object(bus, who, object, method, &[name, "uint32 4"]).err().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_takes_a_name() {
    if !can_be_others() {
        return;
    }
    let cast = Cast::of_this_machine();
    for (policy, user, names) in [
        (BUS_NAME, "holdfast-enroll", &[BUS_NAME][..]),
        (usb::BUS_NAME, "holdfast-usb", &[usb::BUS_NAME, usbguard_names::BUS_NAME]),
    ] {
        let bus = PrivateBus::start(&shipped_policy(&cast, policy, user));
        for name in names {
            for who in [cast.stranger, cast.viewer, cast.admin] {
                let error = request_name(&bus, who, name);
                assert!(error.contains("AccessDenied"), "{name} {who:?}: {error}");
            }
            assert_eq!(request_name(&bus, Who { uid: 0, gid: 0 }, name), "");
        }
    }
}
