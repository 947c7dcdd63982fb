//! `holdfast usb`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use holdfast_ipc::usb::{DecisionReport, DeviceFacts, UsbEvent};
use holdfast_usb_rules::Verdict;

use crate::world::World;
use crate::world::usb_backend::{STICK, STICK_RULE, stick};

/// Arguments, a part of what is printed, and what the service was asked for.
type Case<'a> = (&'a [&'a str], &'a str, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_asks_for_what_it_says() {
    let world = World::start().await;
    let table: &[Case<'_>] = &[
        (&["list"], "7   1-2     0781:5583  Ultra\\u{1b}[2J Fit  4C53\\\"  block", &["devices"]),
        (&["list", "--allowed"], "No USB device is allowed.", &["devices"]),
        (&["ports"], "pci0000:00/0000:00:04.0/hs/2  on  used   hotplug", &["ports"]),
        (&["ports", "list"], "usb1-port2  1-2", &["ports"]),
        (&["ports", "enable", "hs/2"], "hs/2: on", &["port hs/2 true"]),
        (&["ports", "disable", "hs/2"], "hs/2: off", &["port hs/2 false"]),
        (&["allow", "7"], "Device 7: allow, until it goes.", &["decide 7 allow Presence"]),
        (
            &["allow", "0781:5583", "--for", "10m"],
            "Device 7: allow, for 10 minutes or until it goes.",
            &["devices", "decide 7 allow For(600s)"],
        ),
        (
            &["allow", "1-2", "--permanent"],
            "Device 7: allow, by rule 2 of the policy.",
            &["devices", "decide 7 allow Permanent"],
        ),
        (
            &["allow", "--once"],
            "The next device that comes within 10 minutes is let in.",
            &["allow next 600s"],
        ),
        (&["allow", "--once", "--for", "24h"], "within 24 hours", &["allow next 86400s"]),
        (&["block", "7"], "Device 7: block, until it goes.", &["decide 7 block Presence"]),
        (&["reject", "7", "--permanent"], "by rule 2", &["decide 7 reject Permanent"]),
        (&["rules"], "1   stored  allow id 1d6b:*", &["rules"]),
        (
            &["rules", "append", "allow 0781:*"],
            "Rule 3 was added.",
            &["append allow id 0781:* Last false"],
        ),
        (
            &["rules", "append", "block", "--after", "0", "--temporary"],
            "Rule 3 was added.",
            &["append block First true"],
        ),
        (&["rules", "remove", "5"], "Rule 5 was removed.", &["remove 5"]),
        (&["generate-policy"], "allow id 1d6b:*\n", &["generate false"]),
        (&["generate-policy", "--with-ports"], "allow", &["generate true"]),
        (&["explain", "1-2"], "Reason      implicit", &["devices", "explain 7"]),
        (&["status"], "Mode        enforce", &["status"]),
    ];
    for (arguments, part, work) in table {
        let run = world.run(&[&["usb"], *arguments].concat());
        assert!(run.code == 0 && run.out.contains(part), "{arguments:?}: {run:?}");
        assert!(run.out.chars().all(|c| c == '\n' || !c.is_control()), "{arguments:?}: {run:?}");
        assert_eq!(world.usb.take(), *work, "{arguments:?}");
        let json = world.run(&[&["--json", "usb"], *arguments].concat());
        assert!(json.code == 0, "{arguments:?}: {json:?}");
        serde_json::from_str::<serde_json::Value>(&json.out).unwrap();
        world.usb.take();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_the_reports_and_what_was_done() {
    let world = World::start().await;
    let json = |arguments: &[&str]| {
        let run = world.run(&[&["--json", "usb"], arguments].concat());
        serde_json::from_str::<serde_json::Value>(&run.out).unwrap()
    };
    assert_eq!(json(&["list"]), serde_json::json!([stick()]));
    let decided = json(&["allow", "7", "--for", "1s"]);
    let expected = serde_json::json!({"device": 7, "target": "allow", "seconds": 1, "rule": null});
    assert_eq!(decided, expected);
    assert_eq!(json(&["allow", "--once"]), serde_json::json!({"seconds": 600}));
    assert_eq!(json(&["rules", "remove", "5"]), serde_json::json!({"rule": 5}));
    let expected = serde_json::json!({"policy": "allow id 1d6b:*\n"});
    assert_eq!(json(&["generate-policy"]), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_replaced_from_a_file_or_standard_input() {
    let world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.conf");
    let path = file.to_str().unwrap();
    fs::write(&file, "# ours\nblock\n").unwrap();
    let run = world.run(&["usb", "rules", "replace", path]);
    assert!(run.code == 0 && run.out == "1 rule is in force now.\n", "{run:?}");
    assert_eq!(world.usb.take(), ["replace \"# ours\\nblock\\n\"", "rules"]);

    fs::write(&file, "block\nmatch\n").unwrap();
    let run = world.run(&["usb", "rules", "replace", path]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.err.contains("rules.conf: line 2, column 1: the target match"), "{run:?}");
    assert!(run.err.contains("docs/usb.md"), "{run:?}");
    assert!(world.usb.take().is_empty());

    let mut child = world
        .command(&["usb", "rules", "replace", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"allow\n").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(world.usb.take(), ["replace \"allow\\n\"", "rules"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_says_what_to_do_next() {
    let world = World::start().await;
    for arguments in [
        &["allow"][..],
        &["allow", "7", "--once"],
        &["allow", "7", "--permanent", "--for", "1m"],
        &["allow", "--once", "--permanent"],
        &["allow", "7", "--for", "25h"],
        &["allow", "stick"],
        &["block", "7", "--for", "1m"],
        &["list", "--blocked", "--allowed"],
        &["rules", "append"],
        &[],
    ] {
        let run = world.run(&[&["usb"], arguments].concat());
        assert_eq!(run.code, 2, "{arguments:?}: {run:?}");
    }
    for (arguments, part) in [
        (&["allow", "8"][..], "there is no device 8\n  `holdfast usb list`"),
        (&["explain", "8"], "there is no device 8\n  `holdfast usb list`"),
        (&["allow", "1-9"], "1-9 is not there\n  `holdfast usb list`"),
        (&["rules", "append", "allow x"], "line 1, column 7"),
        (&["rules", "replace", "/nonexistent"], "/nonexistent: it cannot be read"),
    ] {
        let run = world.run(&[&["usb"], arguments].concat());
        assert!(run.code == 1 && run.err.contains(part), "{arguments:?}: {run:?}");
        assert_eq!(run.out, "");
    }
    world.connection.release_name("org.holdfast.Usb1").await.unwrap();
    for verb in ["list", "watch"] {
        let away = world.run(&["usb", verb]);
        assert_eq!(away.code, 4, "{away:?}");
        assert!(away.err.contains("the USB service does not answer"), "{away:?}");
        assert!(away.err.contains("systemctl status holdfast-usb"), "{away:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_printed_as_they_come() {
    let world = World::start().await;
    let event = || {
        let report = DecisionReport {
            id: STICK,
            device: "1-2".into(),
            usb_id: "0781:5583".into(),
            name: "Ultra\u{1b}[2J\nallow".into(),
            target: "block".into(),
            reason: "implicit".into(),
            rule: STICK_RULE.into(),
            observed: false,
        };
        let (id, rule) = (STICK, STICK_RULE.to_owned());
        let device = DeviceFacts { id, rule, attributes: Vec::new() };
        UsbEvent::Decided { report, device, old: None, new: Verdict::Block, rule: None }
    };
    for (arguments, expected) in [
        (
            &["usb", "watch"][..],
            "block: device 7 (1-2) 0781:5583 Ultra\\u{1b}[2J\\nallow; implicit",
        ),
        (&["--json", "usb", "watch"], "{\"id\":7,\"device\":\"1-2\",\"usb_id\":\"0781:5583\","),
    ] {
        let mut child = world.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It hears from before it asks for the state on.
        while !world.usb.take().contains(&"status".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        world.usb_events.tell(event());
        world.usb_events.tell(event());
        for _ in 0..2 {
            let line = lines.next().unwrap().unwrap();
            assert!(line.starts_with(expected), "{line}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
