//! The bus policy that the image ships, loaded by a real bus.

use std::{os::unix::process::CommandExt, path::Path};

use super::{
    client::{Cast, call, call_any, can_be_others},
    private_bus::PrivateBus,
    service::Service,
};

/// As much of the system bus's own policy as matters, then the shipped one with ids in place of
/// names that this machine does not have.
fn shipped_policy(cast: &Cast) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../rootfs-overlay/usr/share/dbus-1/system.d/org.holdfast.Identity1.conf");
    let text = std::fs::read_to_string(path).unwrap();
    let policies = text
        .split_once("<busconfig>")
        .and_then(|(_, rest)| rest.split_once("</busconfig>"))
        .unwrap()
        .0
        .replace("holdfast-viewer", &cast.viewer.gid.to_string())
        .replace("holdfast-operator", &cast.operator.gid.to_string())
        .replace("holdfast-admin", &cast.admin.gid.to_string())
        // The service under test runs as this process.
        .replace("user=\"holdfast-enroll\"", "user=\"0\"");
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
    let bus = PrivateBus::start(&shipped_policy(&cast));
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
async fn nobody_else_takes_the_name() {
    if !can_be_others() {
        return;
    }
    let cast = Cast::of_this_machine();
    let bus = PrivateBus::start(&shipped_policy(&cast));
    let request = |uid, gid| {
        let output = std::process::Command::new("gdbus")
            .args(["call", "--address", &bus.address, "--dest", "org.freedesktop.DBus"])
            .args(["--object-path", "/org/freedesktop/DBus", "--method"])
            .args(["org.freedesktop.DBus.RequestName", "org.holdfast.Identity1", "uint32 4"])
            .uid(uid)
            .gid(gid)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for who in [cast.stranger, cast.viewer, cast.admin] {
        let error = request(who.uid, who.gid);
        assert!(error.contains("AccessDenied"), "{who:?}: {error}");
    }
    assert_eq!(request(0, 0), "");
}
