use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Qmp;
use crate::{Error, UsbDevice};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

/// A monitor that answers each command with the lines that `answer` gives, `ID` standing for the
/// command's number; returns what it was asked.
fn monitor(answer: impl Fn(&str) -> Vec<Value> + Send + 'static) -> (Qmp, JoinHandle<Vec<Value>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || {
        let mut asked = Vec::new();
        theirs.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n").unwrap();
        for line in BufReader::new(theirs.try_clone().unwrap()).lines() {
            let Ok(line) = line else { break };
            let command: Value = serde_json::from_str(&line).unwrap();
            let name = command["execute"].as_str().unwrap();
            for mut message in answer(name) {
                if message.get("event").is_none() {
                    message["id"] = command["id"].clone();
                }
                writeln!(theirs, "{message}").unwrap();
            }
            asked.push(json!([name, command["arguments"]]));
        }
        asked
    });
    (Qmp::connect(ours, Instant::now()).unwrap(), thread)
}

fn deleted(device: &str) -> Value {
    json!({ "event": "DEVICE_DELETED", "data": { "device": device }, "timestamp": {} })
}

#[test]
fn commands_answers_and_refusals() {
    let (qmp, monitor) = monitor(|command| {
        vec![match command {
            "query-status" => json!({ "return": { "status": "running", "running": true } }),
            "set_link" => {
                json!({ "error": { "class": "DeviceNotFound", "desc": "Device 'net0' not found" } })
            }
            _ => json!({ "return": {} }),
        }]
    });
    assert_eq!(qmp.status().unwrap(), "running");
    let error = qmp.set_link(false).unwrap_err();
    assert_eq!(error.to_string(), "QEMU refused set_link: DeviceNotFound: Device 'net0' not found");
    qmp.system_reset().unwrap();
    drop(qmp);
    assert_eq!(
        monitor.join().unwrap(),
        [
            json!(["qmp_capabilities", null]),
            json!(["query-status", null]),
            json!(["set_link", { "name": "net0", "up": false }]),
            json!(["system_reset", null]),
        ]
    );
}

#[test]
fn unplugging_waits_for_the_right_device() {
    let (qmp, monitor) = monitor(|command| match command {
        "device_del" => vec![json!({ "return": {} }), deleted("other"), deleted("stick")],
        _ => vec![json!({ "return": {} })],
    });
    let stick = UsbDevice::Storage { image: "/stick.raw".into(), serial: "S1".into() };
    stick.plug(&qmp, "stick", Some("1")).unwrap();
    stick.unplug(&qmp, "stick").unwrap();
    let names: Vec<String> = qmp.events().into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["DEVICE_DELETED", "DEVICE_DELETED"]);
    let error = qmp.device_del("absent", SHORT).unwrap_err();
    assert!(matches!(&error, Error::Timeout { .. }), "{error}");
    drop(qmp);
    let asked = monitor.join().unwrap();
    let file = json!({ "driver": "file", "filename": "/stick.raw" });
    let blockdev = json!({ "driver": "raw", "node-name": "stick-backing", "file": file });
    assert_eq!(asked[1], json!(["blockdev-add", blockdev]));
    let device = json!({
        "driver": "usb-storage", "id": "stick", "bus": "xhci.0",
        "drive": "stick-backing", "serial": "S1", "port": "1",
    });
    assert_eq!(asked[2], json!(["device_add", device]));
    assert_eq!(asked[4], json!(["blockdev-del", { "node-name": "stick-backing" }]));
}

#[test]
fn an_event_of_the_past_is_found_only_if_asked_for() {
    let reset = json!({ "event": "RESET", "data": { "guest": true } });
    let (qmp, _monitor) = monitor(move |command| match command {
        "system_reset" => vec![reset.clone(), json!({ "return": {} })],
        _ => vec![json!({ "return": {} })],
    });
    qmp.system_reset().unwrap();
    let event = qmp.wait_event("RESET", 0, LONG).unwrap();
    assert_eq!((event.number, &event.data["guest"]), (0, &json!(true)));
    let error = qmp.wait_event("RESET", qmp.event_count(), SHORT).unwrap_err().to_string();
    assert!(error.contains("events so far: RESET"), "{error}");
}

#[test]
fn a_monitor_that_closes_or_talks_nonsense_ends_every_wait() {
    for last_words in [&b""[..], b"{\"QMP\": \n", b"\xff\n"] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(last_words).unwrap();
        drop(theirs);
        let error = Qmp::connect(ours, Instant::now()).unwrap_err();
        let ended = matches!(error, Error::Ended { .. } | Error::Protocol { .. });
        assert!(ended, "{error}");
    }
}
