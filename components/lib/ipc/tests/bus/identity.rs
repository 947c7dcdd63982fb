//! Calls, their refusals and their records; properties and signals.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::StreamExt;
use holdfast_ipc::{
    CallError, ErrorKind,
    identity::{INTERFACE, Identity1Proxy, OBJECT_PATH, State},
};

use super::{
    client::{Cast, Who, call, can_be_others},
    introspection::{Described, assert_as_committed},
    private_bus::{OPEN, PrivateBus},
    service::Service,
};

/// Caller, method, arguments; a part of the answer or the error; the records.
type Case<'a> = (Who, &'a str, &'a [&'a str], Result<&'a str, &'a str>, &'a [&'a str]);

fn bytes(list: &str) -> String {
    format!("[{}]", vec![list; 32].join(", "))
}

#[tokio::test]
async fn introspection_equals_the_committed_interface() {
    let bus = PrivateBus::start(OPEN);
    let service = Service::start(&bus).await;
    let described = Described {
        bus_name: service.connection.unique_name().unwrap(),
        path: OBJECT_PATH,
        interface: INTERFACE,
        file: "org.holdfast.Identity1.xml",
    };
    assert_as_committed(&bus.connect().await, &described).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_may_what_his_role_says_and_every_call_is_recorded() {
    if !can_be_others() {
        return;
    }
    let Cast { stranger, viewer, operator, admin, .. } = Cast::of_this_machine();
    let bus = PrivateBus::start(OPEN);
    let service = Service::start(&bus).await;
    let sign = ["tls", "rsa-pss-sha256", &bytes("7")];
    let seal = ["file", "[1, 2, 3]"];
    let token = ["telemetry"];
    let no_args: [&str; 0] = [];
    let denied = "AccessDenied";
    let table: &[Case<'_>] = &[
        (stranger, "Sign", &sign, Err(denied), &["identity.sign tls Denied Failed"]),
        (viewer, "Sign", &sign, Err(denied), &["identity.sign tls Denied Failed"]),
        (operator, "Sign", &sign, Err(denied), &["identity.sign tls Denied Failed"]),
        (admin, "Sign", &sign, Ok("([byte 0x07"), &["identity.sign tls Allowed Ok"]),
        (stranger, "Seal", &seal, Err(denied), &["identity.seal file Denied Failed"]),
        (viewer, "Seal", &seal, Err(denied), &["identity.seal file Denied Failed"]),
        (operator, "Seal", &seal, Ok("([byte"), &["identity.seal file Allowed Ok"]),
        (stranger, "Renew", &no_args, Err(denied), &["identity.renew  Denied Failed"]),
        (viewer, "Renew", &no_args, Err(denied), &["identity.renew  Denied Failed"]),
        (operator, "Renew", &no_args, Ok("('0a0b',)"), &["identity.renew  Allowed Ok"]),
        (viewer, "ReEnroll", &no_args, Err(denied), &["identity.re-enroll  Denied Failed"]),
        (
            operator,
            "ReEnroll",
            &no_args,
            Err("suspended"),
            &["identity.re-enroll  Allowed Ok", "identity.re-enroll  Allowed Failed"],
        ),
        (stranger, "GetToken", &token, Err(denied), &["identity.token telemetry Denied Failed"]),
        (operator, "GetToken", &token, Err(denied), &["identity.token telemetry Denied Failed"]),
        (
            admin,
            "GetToken",
            &token,
            Ok("('a.telemetry.c', uint64 42)"),
            &["identity.token telemetry Allowed Ok"],
        ),
        (admin, "GetToken", &["other"], Err(denied), &["identity.token other Denied Failed"]),
        (stranger, "Check", &no_args, Err(denied), &["identity.check  Denied Failed"]),
        (viewer, "Check", &no_args, Ok("('[]',)"), &[]),
        (
            stranger,
            "GetCertificateChain",
            &no_args,
            Err(denied),
            &["identity.certificate  Denied Failed"],
        ),
        (viewer, "GetCertificateChain", &no_args, Err("org.holdfast.Error.NotReady"), &[]),
    ];
    for (who, method, arguments, expected, records) in table {
        let result = call(&bus, *who, method, arguments);
        match (&result, expected) {
            (Ok(text), Ok(part)) | (Err(text), Err(part)) if text.contains(part) => {}
            _ => panic!("{who:?} {method}: {result:?}, expected {expected:?}"),
        }
        let records: Vec<_> = records.iter().map(|r| format!("{r} uid={}", who.uid)).collect();
        assert_eq!(service.log.take(), records, "{who:?} {method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_user_sealed_no_other_opens() {
    if !can_be_others() {
        return;
    }
    let bus = PrivateBus::start(OPEN);
    let service = Service::start(&bus).await;
    let Cast { operator, other_operator, admin, .. } = Cast::of_this_machine();
    let printed = call(&bus, operator, "Seal", &["file", "[1, 2, 3]"]).unwrap();
    // gdbus prints ([byte 0x01, 0x02],)
    let sealed = printed.trim_start_matches('(').trim_end_matches(",)").to_owned();
    assert_eq!(
        call(&bus, operator, "Unseal", &["file", &sealed]).unwrap(),
        "([byte 0x01, 0x02, 0x03],)"
    );
    for (who, name) in [(other_operator, "file"), (admin, "file"), (operator, "other")] {
        let error = call(&bus, who, "Unseal", &[name, &sealed]).unwrap_err();
        assert!(error.contains("AccessDenied"), "{who:?} {name}: {error}");
    }
    let log = service.log.take();
    assert_eq!(log.len(), 5, "{log:?}");
    assert_eq!(log[2], format!("identity.unseal file Allowed Failed uid={}", other_operator.uid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_that_cannot_be_meant_are_refused_by_name() {
    if !can_be_others() {
        return;
    }
    let bus = PrivateBus::start(OPEN);
    let service = Service::start(&bus).await;
    let table: &[(&str, &[&str], &str)] = &[
        ("Sign", &["TLS", "rsa-pss-sha256", &bytes("7")], "not a name"),
        ("Sign", &["tls", "md5", &bytes("7")], "not a signature scheme"),
        ("Sign", &["tls", "rsa-pss-sha256", "[1, 2]"], "the digest has 2 bytes"),
        ("GetToken", &["a b"], "not an audience"),
        ("Seal", &["../x", "[1]"], "not a name"),
        ("Seal", &["file", "@ay []"], "0 bytes cannot be sealed"),
        ("Unseal", &["file", "@ay []"], "not sealed bytes"),
        ("Unseal", &["file", "[1, 2, 3]"], "sealed by another"),
    ];
    for (method, arguments, part) in table {
        let error = call(&bus, Cast::of_this_machine().admin, method, arguments).unwrap_err();
        assert!(error.contains(part), "{method} {arguments:?}: {error}");
        assert_eq!(service.log.take().len(), 1, "{method} {arguments:?}");
    }
}

#[tokio::test]
async fn without_a_record_there_is_no_answer() {
    let bus = PrivateBus::start(OPEN);
    let service = Service::start(&bus).await;
    service.log.full.store(true, Ordering::SeqCst);
    let proxy = Identity1Proxy::new(&bus.connect().await).await.unwrap();
    let error = proxy.sign("tls", "rsa-pss-sha256", &[7; 32]).await.unwrap_err();
    let error = CallError::from_reply(&error).unwrap();
    assert_eq!(error.kind, ErrorKind::AuditUnavailable, "{error}");
}

#[tokio::test]
async fn changes_are_announced_in_order_with_their_values() {
    let bus = PrivateBus::start(OPEN);
    let service = Service::start(&bus).await;
    let proxy = Identity1Proxy::new(&bus.connect().await).await.unwrap();
    assert_eq!(proxy.state().await.unwrap(), "preparing");
    assert_eq!(proxy.edge_id().await.unwrap(), "EDGE-1");
    let mut transitions = proxy.receive_state_transition().await.unwrap();
    let mut renewals = proxy.receive_certificate_renewed().await.unwrap();

    service.status.update(|_| ());
    service.status.update(|status| status.state = State::Enrolling);
    service.status.update(|status| {
        status.state = State::Active;
        status.certificate_expires = 42;
        // It was there when the service started.
        status.certificate_serial = "09".into();
    });
    service.status.update(|status| status.certificate_serial = "0a".into());
    // It was lost, and there is another.
    service.status.update(|status| status.certificate_serial.clear());
    service.status.update(|status| {
        status.certificate_serial = "0b".into();
        status.certificate_is_issued = true;
    });

    let mut seen = Vec::new();
    while seen.len() < 2 {
        let signal = tokio::time::timeout(Duration::from_secs(10), transitions.next());
        let signal = signal.await.expect("a signal in time").unwrap();
        let args = signal.args().unwrap();
        seen.push(format!("{} -> {}", args.old(), args.new()));
    }
    assert_eq!(seen, ["preparing -> enrolling", "enrolling -> active"]);
    for serial in ["0a", "0b"] {
        let renewal = tokio::time::timeout(Duration::from_secs(10), renewals.next());
        assert_eq!(renewal.await.unwrap().unwrap().args().unwrap().serial(), serial);
    }
    // The proxy's cache learnt both from PropertiesChanged, which precedes the signals.
    assert_eq!(proxy.cached_state().unwrap().as_deref(), Some("active"));
    assert_eq!(proxy.certificate_expires().await.unwrap(), 42);
}
