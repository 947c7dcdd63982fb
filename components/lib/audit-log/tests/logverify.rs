//! The program on real files: what it says, in which form, and how it ends.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use common::{File, Signer, Writer, boot_binding, origin};
use holdfast_audit_log::frame::{Class, Kind};
use holdfast_audit_log::kernel::{EventBuffer, EventId, Message, MessageType};
use holdfast_audit_log::segment::SegmentHeader;
use holdfast_audit_log::{
    Action, Actor, AuditRecord, Boot, ClockStep, Loss, LossCause, Origin, Recovered, Source, Text,
};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// A folder with a log and what belongs to it.
struct Bench {
    folder: tempfile::TempDir,
    writer: Writer,
}

/// How the program ended and what it printed.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Bench {
    /// Three segments of 6 records with checkpoints in 4, 10 and 16, as the tests of tampering have,
    /// but with records of every kind.
    fn new() -> Self {
        let mut writer = Writer::new(origin(), 1);
        for segment in 0..3 {
            if segment > 0 {
                writer.open_segment();
            }
            records(&mut writer, segment);
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key.pem"), Signer::new(1).pem()).unwrap();
        let bench = Self { folder, writer };
        bench.lay(&bench.writer.files);
        bench
    }

    /// Puts files in the place of the spool.
    fn lay(&self, files: &[File]) {
        let spool = self.path("spool");
        let _ = fs::remove_dir_all(&spool);
        fs::create_dir(&spool).unwrap();
        for (name, bytes) in files {
            fs::write(spool.join(name), bytes).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast-logverify"))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What is wrong with these files: names of faults, and their records.
    fn faults(&self, files: &[File], more: &[&str]) -> Vec<(String, RangeInclusive<u64>)> {
        self.lay(files);
        let arguments = [&["verify", "--json", "--key", "key.pem", "spool"], more].concat();
        let said = self.run(&arguments);
        let json = said.json();
        let findings = json["findings"].as_array().unwrap();
        assert_eq!(json["is_good"].as_bool().unwrap(), findings.is_empty());
        assert_eq!(said.code, i32::from(!findings.is_empty()), "{said:?}");
        let of = |finding: &Value| {
            let number = |name: &str| finding[name].as_u64().unwrap();
            let name = finding["fault"].as_str().unwrap().to_owned();
            (name, number("first")..=number("last"))
        };
        findings.iter().map(of).collect()
    }
}

fn operation() -> AuditRecord {
    AuditRecord::new(
        OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap(),
        Source::device("usb-blocker").unwrap(),
        Actor { pid: Some(42), ..Actor::user(1000).with_login_uid(1001) },
        Action::new("usb.allow").unwrap(),
        Text::new("046d:c31c").unwrap(),
    )
}

fn records(writer: &mut Writer, segment: usize) {
    let json = |text: Result<String, holdfast_audit_log::Error>| text.unwrap().into_bytes();
    let serial = u32::try_from(writer.log.size()).unwrap();
    let mut event = EventBuffer::new(EventId { seconds: 1_700_000_000, milliseconds: 1, serial });
    let call = b"arch=c000003e syscall=59 success=yes pid=7 auid=1000 uid=0 exe=\"/usr/bin/ls\" \
                 key=\"hf-exec\"";
    event.push(Message { kind: MessageType(1300), text: call });
    event.push(Message { kind: MessageType(1309), text: b"argc=2 a0=\"ls\" a1=\"\x1b\xff\"" });
    let boot = Boot {
        boot_id: Text::lossy("3c9b"),
        release: Text::lossy("41"),
        kernel: Text::lossy("6.12.0"),
        firmware: Text::lossy("EDK II"),
    };
    let refused = operation().denied(Text::lossy("role holdfast-operator is missing"));
    let lost =
        Loss { first_serial: Some(4), last_serial: Some(5), ..Loss::new(LossCause::SerialGap, 2) };
    let recovered = Recovered { bytes: 71, fault: Text::lossy("checksum") };
    let clock = ClockStep { before_ns: 0, after_ns: 1_700_000_000_000_000_000 };
    let payloads: [(Class, Kind, Vec<u8>); 4] = match segment {
        0 => [
            (Class::System, Kind::Boot, json(boot.to_json())),
            (Class::Execution, Kind::KernelEvent, event.event().as_payload().to_vec()),
            (Class::Usb, Kind::Operation, json(refused.to_json())),
            (Class::Log, Kind::Loss, json(lost.to_json())),
        ],
        1 => [
            (Class::Log, Kind::Recovered, json(recovered.to_json())),
            (Class::System, Kind::Clock, json(clock.to_json())),
            (Class::Usb, Kind::Operation, json(operation().to_json())),
            (Class::Execution, Kind::KernelEvent, event.event().as_payload().to_vec()),
        ],
        _ => std::array::from_fn(|_| {
            (Class::Execution, Kind::KernelEvent, event.event().as_payload().to_vec())
        }),
    };
    for (class, kind, payload) in &payloads {
        writer.append(*class, *kind, payload);
    }
    let binding = (segment == 0).then(boot_binding);
    let checkpoint = writer.signer.sign(writer.log.checkpoint(binding)).to_string();
    writer.append(Class::Log, Kind::Checkpoint, checkpoint.as_bytes());
    // No record of its kind.
    writer.append(Class::Operation, Kind::Operation, b"{}");
}

#[test]
fn a_good_log() {
    let bench = Bench::new();
    let said = bench.run(&["verify", "--key", "key.pem", "spool"]);
    let checkpoint = bench.writer.log.checkpoint(None);
    let expected = format!(
        "log      holdfast.example/audit/3f9a\n\
         records  18: 0 to 17, in 3 files\n\
         signed   the first 16, by 3 checkpoints of key f857ae4e\n\
         head     {}\n\
         root     {}\n\
         note     records 16 to 17 are in the chain but not signed yet: their end could be cut off \
         unseen\n\
         good\n",
        checkpoint.head, checkpoint.root
    );
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, expected.as_str(), ""));
    let json = bench.run(&["--json", "verify", "--key", "key.pem", "spool"]).json();
    assert_eq!(json["is_good"], true);
    assert_eq!(
        (&json["files"], &json["records"], &json["size"]),
        (&json!(3), &json!(18), &json!(18))
    );
    assert_eq!((&json["signed_size"], &json["is_signature_verified"]), (&json!(16), &json!(true)));
    assert_eq!(json["root"], checkpoint.root.to_string());
    assert_eq!(json["ending"], json!({"kind": "whole"}));
    // Files in order are the same log, and so are files without headers, from the first on.
    let files: Vec<String> =
        bench.writer.files.iter().map(|(name, _)| format!("spool/{name}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let said = bench.run(&[&["verify", "--key", "key.pem"], files.as_slice()].concat());
    assert_eq!((said.code, said.out.as_str()), (0, expected.as_str()));
    for (name, bytes) in &bench.writer.files {
        let header = SegmentHeader::decode(bytes).unwrap().encoded_len();
        bench.write(&format!("spool/{name}"), &bytes[header..]);
    }
    let origin = ["--origin", "holdfast.example/audit/3f9a"];
    let said = bench.run(&[["verify", "--key", "key.pem", "spool"].as_slice(), &origin].concat());
    assert_eq!((said.code, said.out.as_str()), (0, expected.as_str()), "{}", said.err);
}

#[test]
fn the_folder_of_an_export_is_a_log() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("log/segments")).unwrap();
    for (name, bytes) in &bench.writer.files {
        bench.write(&format!("log/segments/{}", name.replace(".log", ".seg")), bytes);
    }
    bench.write("log/key.pem", "");
    let said = bench.run(&["verify", "--key", "key.pem", "log"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("records  18: 0 to 17, in 3 files\n"), "{}", said.out);
}

#[test]
fn notes_for_the_reader() {
    let bench = Bench::new();
    bench.write("spool/00000000000000000003.damaged", "x");
    bench.write("spool/00000000000000000018.log.new", "x");
    bench.write("spool/lock", "");
    fs::remove_file(bench.path("spool/00000000000000000000.log")).unwrap();
    let said = bench.run(&["verify", "spool"]);
    assert_eq!(said.code, 0, "{said:?}");
    for text in [
        "records  12: 6 to 17, in 2 files\n",
        "signed   the first 16, by 2 checkpoints of an unknown key\n",
        "note     00000000000000000003.damaged is not read: ",
        "note     signatures are not verified: name the key of the log with --key\n",
        "note     records 0 to 5 are not here: ",
    ] {
        assert!(said.out.contains(text), "no {text} in {}", said.out);
    }
    let (_, last) = &bench.writer.files[2];
    bench.write("spool/00000000000000000012.log", &last[..last.len() - 3]);
    let said = bench.run(&["verify", "--key", "key.pem", "spool"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("end      "), "{}", said.out);
    assert!(
        said.out.contains(
            "of a record that a power cut interrupted, in 00000000000000000012.log at byte"
        ),
        "{}",
        said.out
    );
}

fn fault(name: &str, records: RangeInclusive<u64>) -> (String, RangeInclusive<u64>) {
    (name.to_owned(), records)
}

/// The log with one segment's bytes changed.
fn with(writer: &Writer, segment: usize, change: impl FnOnce(&mut Vec<u8>)) -> Vec<File> {
    let mut files = writer.files.clone();
    change(&mut files[segment].1);
    files
}

/// Changes a byte of a record and makes its checksum right again.
fn forge(writer: &Writer, record: usize, place: usize) -> Vec<File> {
    let (segment, start) = writer.places[record];
    let end = writer.end_of(record) - 4;
    with(writer, segment, |bytes| {
        bytes[start + place] ^= 1;
        let checksum = crc32c::crc32c(&bytes[start..end]).to_be_bytes();
        bytes[end..end + 4].copy_from_slice(&checksum);
    })
}

#[test]
fn every_record_that_somebody_tampers_with_is_named() {
    let bench = Bench::new();
    let writer = &bench.writer;
    bench.write("checkpoint", writer.checkpoint().to_string());
    let kept = ["--checkpoint", "checkpoint"];
    for record in 0..18_usize {
        let (segment, start) = writer.places[record];
        let (end, number) = (writer.end_of(record), record as u64);
        let here = number..=number;
        let faults = |files: &[File]| bench.faults(files, &kept);
        let named = |files: &[File]| {
            let found = faults(files);
            found.iter().any(|(_, records)| records.contains(&number))
        };

        let flipped = with(writer, segment, |bytes| bytes[end - 5] ^= 1);
        let last = if record == 17 {
            vec![fault("damaged", 17..=17), fault("rolled-back", 17..=17)]
        } else {
            vec![fault("damaged", here.clone())]
        };
        assert_eq!(faults(&flipped), last, "flipped {record}");
        // Its checksum is right, as one makes it who knows the format.
        let forged = forge(writer, record, 64);
        if record % 6 == 4 || record == 17 {
            assert!(named(&forged), "forged {record}");
        } else {
            assert_eq!(faults(&forged), [fault("altered", here.clone())], "forged {record}");
        }
        let dropped = with(writer, segment, |bytes| drop(bytes.drain(start..end)));
        let kind = if record == 17 { "rolled-back" } else { "missing" };
        assert_eq!(faults(&dropped), [fault(kind, here.clone())], "dropped {record}");
        let frame = writer.frame(record);
        let repeated = with(writer, segment, |b| drop(b.splice(end..end, frame.clone())));
        assert_eq!(faults(&repeated), [fault("repeated", here.clone())], "repeated {record}");
        if record % 6 < 4 {
            // Behind the two records that follow it.
            let to = writer.end_of(record + 2);
            let moved = with(writer, segment, |bytes| {
                bytes.splice(to..to, frame.clone());
                bytes.drain(start..end);
            });
            assert_eq!(faults(&moved), [fault("out-of-order", here)], "moved {record}");
        }
        if segment < 2 {
            let cut = with(writer, segment, |bytes| bytes.truncate(end - 1));
            let last = if segment == 0 { 5 } else { 11 };
            assert_eq!(faults(&cut), [fault("truncated", number..=last)], "cut {record}");
        }
    }
}

#[test]
fn what_comes_from_another_log_is_named() {
    let bench = Bench::new();
    let mut foreign = Writer::new(Origin::new("holdfast.example/audit/other").unwrap(), 1);
    foreign.records(18);
    let mut stranger = Writer::new(origin(), 2);
    for segment in 0..3 {
        if segment > 0 {
            stranger.open_segment();
        }
        records(&mut stranger, segment);
    }
    let mut files = bench.writer.files.clone();
    files[1].1.clone_from(&foreign.files[0].1);
    assert_eq!(bench.faults(&files, &[]), [fault("other-log", 6..=6), fault("missing", 6..=11)]);
    // A whole segment by one who has another key, and so cannot sign.
    let mut files = bench.writer.files.clone();
    files[2].1.clone_from(&stranger.files[2].1);
    let found = bench.faults(&files, &[]);
    assert!(found.iter().any(|(_, records)| *records.start() == 12), "{found:?}");
    let found = bench.faults(&stranger.files, &[]);
    assert!(found.contains(&fault("checkpoint", 4..=4)), "{found:?}");
    // The other name is told to whoever asks for one.
    bench.lay(&bench.writer.files);
    let said =
        bench.run(&["verify", "--key", "key.pem", "--origin", "holdfast.example/x", "spool"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("WRONG    00000000000000000000.log: record 0: the segment is of log"),
        "{}",
        said.out
    );
}

/// A receipt of the connector, as its own tests describe it.
fn receipt(log: &str, writer: &Writer, key: &SigningKey) -> String {
    let checkpoint = writer.log.checkpoint(None);
    let encode = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = encode(json!({"alg": "ES256", "typ": "holdfast-audit-receipt", "x5c": []}));
    let claims = encode(json!({
        "log": log,
        "device_id": "73945d64-a3d7-4aa2-943f-07cd5f8db56d",
        "size": checkpoint.size,
        "head": checkpoint.head.to_string(),
        "root": checkpoint.root.to_string(),
        "time": 1_700_000_000,
    }));
    let signature: Signature = key.sign(format!("{header}.{claims}").as_bytes());
    format!("{header}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

#[test]
fn a_receipt_of_the_cloud_is_held_against_the_log() {
    let bench = Bench::new();
    let key = SigningKey::from_slice(&[9; 32]).unwrap();
    let pem = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    bench.write("server.pem", pem);
    bench.write("receipt.jws", receipt("3f9a", &bench.writer, &key));
    let with = ["--receipt", "receipt.jws", "--receipt-key", "server.pem"];
    assert_eq!(bench.faults(&bench.writer.files, &with), []);
    let said = bench.run(&[["verify", "--key", "key.pem", "spool"].as_slice(), &with].concat());
    assert!(said.out.contains("signed   the first 18, by 4 "), "{}", said.out);
    assert_eq!(bench.faults(&bench.writer.files[..2], &with), [fault("rolled-back", 12..=17)]);
    bench.lay(&bench.writer.files);
    bench.write("other.jws", receipt("other", &bench.writer, &key));
    let table = [
        ("other.jws", "server.pem", "the receipt is of log other"),
        ("receipt.jws", "key.pem", "the signature does not match"),
    ];
    for (receipt, key, text) in table {
        let said = bench.run(&["verify", "--receipt", receipt, "--receipt-key", key, "spool"]);
        assert_eq!((said.code, said.out.as_str()), (3, ""), "{said:?}");
        assert!(said.err.contains(text), "{}", said.err);
    }
}

#[test]
fn records_for_people() {
    let bench = Bench::new();
    let said = bench.run(&["show", "--key", "key.pem", "--to", "9", "spool"]);
    let proof = bench.run(&["inclusion", "--record", "0", "--size", "4", "spool"]).json();
    let root = proof["root"].as_str().unwrap();
    let lines: Vec<&str> = said.out.lines().collect();
    let table = [
        "       0  2023-11-14T22:13:20.000Z  system         boot of release 41, kernel 6.12.0, firmware EDK II".to_owned(),
        "       1  2023-11-14T22:13:20.001Z  execution      kernel 0: SYSCALL+EXECVE login 1000 uid 0 pid 7 /usr/bin/ls [hf-exec]: \"ls\" \"\\u{1b}\u{FFFD}\"".to_owned(),
        "       2  2023-11-14T22:13:20.002Z  usb            usb.allow \"046d:c31c\" by uid 1000 login 1001 pid 42: denied: role holdfast-operator is missing".to_owned(),
        "       3  2023-11-14T22:13:20.003Z  log            LOST 2 records: serial-gap, kernel 4 to 5".to_owned(),
        format!("       4  2023-11-14T22:13:20.004Z  log            checkpoint of 4 records, root {root}, TPM reset 12, NV counter 12"),
        "       5  2023-11-14T22:13:20.005Z  operation      2 bytes that cannot be read".to_owned(),
        "       6  2023-11-14T22:13:20.006Z  log            recovered after 71 bytes: checksum".to_owned(),
        "       7  2023-11-14T22:13:20.007Z  system         clock set from 1970-01-01T00:00:00.000Z to 2023-11-14T22:13:20.000Z".to_owned(),
        "       8  2023-11-14T22:13:20.008Z  usb            usb.allow \"046d:c31c\" by uid 1000 login 1001 pid 42: ok".to_owned(),
    ];
    assert_eq!(lines[..9], table);
    assert_eq!((said.code, lines.len(), said.err.as_str()), (0, 10, ""));

    let numbers = |arguments: &[&str]| -> Vec<u64> {
        let said = bench.run(&[["show", "--json", "spool"].as_slice(), arguments].concat());
        assert_eq!(said.code, 0, "{said:?}");
        let of = |line: &str| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64();
        said.out.lines().map(|line| of(line).unwrap()).collect()
    };
    let table: &[(&[&str], &[u64])] = &[
        (&["--from", "3", "--to", "5"], &[3, 4, 5]),
        (&["--class", "usb"], &[2, 8]),
        (&["--since", "2023-11-14T22:13:20.016Z"], &[16, 17]),
        (&["--until", "2023-11-14T23:13:20.001+01:00"], &[0, 1]),
        (&["--from", "18"], &[]),
    ];
    for (arguments, expected) in table {
        assert_eq!(numbers(arguments), *expected, "{arguments:?}");
    }
}

#[test]
fn records_for_programs() {
    let bench = Bench::new();
    let said = bench.run(&["show", "--json", "spool"]);
    let records: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 18);
    assert_eq!(records[17]["hash"], bench.writer.log.head().to_string());
    let first = &records[0];
    assert_eq!(
        (&first["sequence"], &first["class"], &first["kind"], &first["time"]),
        (&json!(0), &json!("system"), &json!("boot"), &json!("2023-11-14T22:13:20.000Z"))
    );
    assert_eq!(first["realtime_ns"], 1_700_000_000_000_000_000_u64);
    assert_eq!(first["is_synchronised"], true);
    assert_eq!(first["record"]["release"], "41");
    let event = &records[1]["record"];
    assert_eq!(event["id"], json!({"seconds": 1_700_000_000, "milliseconds": 1, "serial": 0}));
    assert_eq!((&event["is_unended"], &event["cut"]), (&json!(false), &json!(0)));
    assert_eq!(event["messages"][0]["type"], "SYSCALL");
    assert!(event["messages"][0]["text"].as_str().unwrap().starts_with("arch=c000003e "));
    let bytes = hex::decode(event["messages"][1]["text_hex"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, b"argc=2 a0=\"ls\" a1=\"\x1b\xff\"");
    assert_eq!(records[2]["record"]["action"], "usb.allow");
    assert_eq!(records[3]["record"]["cause"], "serial-gap");
    assert!(
        records[4]["record"]["note"]
            .as_str()
            .unwrap()
            .starts_with("holdfast.example/audit/3f9a\n4\n")
    );
    assert_eq!(records[5]["record"], json!({"payload_hex": "7b7d"}));
    assert_eq!(records[7]["record"]["before_ns"], 0);
}

#[test]
fn a_tampered_log_is_shown_and_not_exported() {
    let bench = Bench::new();
    let (segment, _) = bench.writer.places[8];
    let end = bench.writer.end_of(8);
    bench.lay(&with(&bench.writer, segment, |bytes| bytes[end - 5] ^= 1));
    let said = bench.run(&["show", "--key", "key.pem", "spool"]);
    assert_eq!((said.code, said.out.lines().count()), (1, 17));
    assert!(
        said.err.starts_with("WRONG    00000000000000000006.log: record 8: damaged: "),
        "{}",
        said.err
    );
    let said = bench.run(&["export", "--key", "key.pem", "spool"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("nothing is exported"), "{}", said.err);
    let said = bench.run(&["export", "--even-if-tampered", "--key", "key.pem", "spool"]);
    assert_eq!(said.code, 1);
    assert!(!said.out.contains("seq=8 ") && said.out.contains("seq=10 "), "{}", said.out);
    assert_eq!(said.err.lines().nth(1), Some("17 records in 23 lines"), "{}", said.err);
    for verb in [["inclusion", "--record", "3"], ["consistency", "--old", "3"]] {
        let said = bench.run(&[verb.as_slice(), &["spool"]].concat());
        assert_eq!((said.code, said.out.as_str()), (1, ""));
    }
}

#[test]
fn text_for_ausearch() {
    let bench = Bench::new();
    let said = bench.run(&["export", "--key", "key.pem", "spool"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        said.err,
        "18 records in 24 lines\n\
         6 lines have ? in place of control characters; `show --json` has all of it\n\
         3 records have a payload that cannot be read and is given in hexadecimal; `show --json` has \
         all of it\n"
    );
    let arguments =
        ["export", "--json", "--node", "edge-7", "--class", "usb", "-o", "out", "spool"];
    let said = bench.run(&arguments);
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    let tally: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!((&tally["records"], &tally["lines"]), (&json!(2), &json!(2)));
    let text = fs::read_to_string(bench.path("out")).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("node=edge-7 type=USER_DEVICE msg=audit(1700000000.002:2147483650): pid=42 uid=1000 auid=1001 "),
        "{first}"
    );
}

#[test]
fn proofs_stand_for_themselves() {
    let bench = Bench::new();
    bench.write("checkpoint", bench.writer.checkpoint().to_string());
    bench.write("stranger.pem", Signer::new(2).pem());
    let log = ["--key", "key.pem", "--checkpoint", "checkpoint", "spool"];
    let check = |more: &[&str]| bench.run(&[["check", "proof"].as_slice(), more].concat());
    for record in 0..18 {
        let number = record.to_string();
        let said = bench.run(&[["inclusion", "--record", &number].as_slice(), &log].concat());
        assert_eq!(said.code, 0, "{said:?}");
        let size = match record {
            0..4 => 4,
            4..10 => 10,
            10..16 => 16,
            _ => 18,
        };
        assert_eq!(said.json()["size"], size);
        bench.write("proof", &said.out);
        let said = check(&["--key", "key.pem"]);
        let expected = format!(
            "good: record {record} is in log holdfast.example/audit/3f9a, as the checkpoint of \
             {size} records signs\n"
        );
        assert_eq!((said.code, said.out), (0, expected));
        assert_eq!(check(&["--key", "stranger.pem"]).code, 1);
        assert_eq!(check(&["--key", "key.pem", "--origin", "x"]).code, 1);
        assert_eq!(check(&["--json", "--key", "key.pem"]).json()["sequence"], record);
    }
    for (old, new) in [(4, 10), (4, 16), (10, 16), (16, 18), (10, 10)] {
        let (old, new) = (old.to_string(), new.to_string());
        let arguments = ["consistency", "--old", &old, "--new", &new];
        let said = bench.run(&[arguments.as_slice(), &log].concat());
        bench.write("proof", &said.out);
        let said = check(&["--key", "key.pem"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains(&format!("only grew from {old} to {new} records")));
    }
}

#[test]
fn every_change_of_a_proof_is_found() {
    let bench = Bench::new();
    let prove = |verb: &[&str]| bench.run(&[verb, &["--key", "key.pem", "spool"]].concat()).json();
    let inclusion = prove(&["inclusion", "--record", "6"]);
    let consistency = prove(&["consistency", "--old", "4", "--new", "10"]);
    let other = prove(&["inclusion", "--record", "7"]);
    let judge = |proof: &Value| {
        bench.write("proof", proof.to_string());
        bench.run(&["check", "--key", "key.pem", "proof"])
    };
    let sound = [&inclusion, &consistency, &other];
    assert!(sound.iter().all(|proof| judge(proof).code == 0));
    let with = |proof: &Value, field: &str, value: Value| {
        let mut proof = proof.clone();
        proof[field] = value;
        proof
    };
    let short = |proof: &Value| {
        let path = proof["path"].as_array().unwrap();
        json!(path[..path.len() - 1])
    };
    let table = [
        (with(&inclusion, "sequence", json!(7)), "the record is number 6, not 7"),
        (with(&inclusion, "record", other["record"].clone()), "the record is number 7, not 6"),
        (with(&inclusion, "record", json!("!")), "not base64"),
        (with(&inclusion, "record", json!("AAAA")), "the record cannot be read"),
        (with(&inclusion, "path", short(&inclusion)), "not the length of this proof"),
        (with(&inclusion, "path", other["path"].clone()), "the proof leads to root"),
        (with(&inclusion, "root", consistency["old_root"].clone()), "the proof leads to root"),
        (with(&inclusion, "root", json!("00")), "not 64 hexadecimal digits"),
        (with(&inclusion, "origin", json!("x")), "is of log"),
        (with(&inclusion, "checkpoint", Value::Null), "no checkpoint of 10 records is there"),
        (with(&inclusion, "checkpoint", json!("x")), "the proof's checkpoint: line 1"),
        (
            with(
                &inclusion,
                "checkpoint",
                json!(inclusion["checkpoint"].as_str().unwrap().replace("\n10\n", "\n11\n")),
            ),
            "no checkpoint of 10 records is there",
        ),
        (with(&consistency, "path", short(&consistency)), "not the length of this proof"),
        (
            with(&consistency, "old_root", consistency["new_root"].clone()),
            "the proof leads to root",
        ),
        (with(&consistency, "old_checkpoint", Value::Null), "no checkpoint of 4 records is there"),
    ];
    for (proof, text) in table {
        let said = judge(&proof);
        assert_eq!(said.code, 1, "{text}: {said:?}");
        assert!(said.out.starts_with("WRONG: ") && said.out.contains(text), "{text}: {}", said.out);
    }
    let said = judge(&with(&inclusion, "proof", json!("magic")));
    assert_eq!((said.code, said.out.as_str()), (3, ""));
}

#[test]
fn what_is_not_there() {
    let bench = Bench::new();
    fs::create_dir(bench.path("empty")).unwrap();
    bench.write("text", "This is no log.\n");
    let table: &[(&[&str], i32, &str)] = &[
        (&["verify", "nowhere"], 3, "failed to read nowhere: No such file or directory"),
        (&["verify", "empty"], 3, "empty: the folder holds no segment of a log\n  Name a spool"),
        (&["verify", "text"], 3, "text: no record of a log can be read here\n  Name segments"),
        (&["verify", "--key", "text", "spool"], 3, "text: not a public key on P-256"),
        (&["verify", "--key", "key.pem", "--checkpoint", "text", "spool"], 3, "text: line 1: "),
        (&["check", "--key", "key.pem", "text"], 3, "text: not a proof: "),
        (&["inclusion", "--record", "18", "spool"], 3, "18 is outside of what is there"),
        (
            &["inclusion", "--record", "3", "--size", "3", "spool"],
            3,
            "3 is outside of what is there",
        ),
        (
            &["consistency", "--old", "4", "--new", "19", "spool"],
            3,
            "19 is outside of what is there",
        ),
        (&["export", "-o", "empty", "spool"], 3, "failed to write empty: Is a directory"),
        (&[], 2, "Usage: holdfast-logverify"),
        (&["verify"], 2, "required"),
        (&["verify", "--receipt", "x", "spool"], 2, "--receipt-key"),
        (&["verify", "--checkpoint", "x", "spool"], 2, "--key"),
        (&["show", "--class", "x", "spool"], 2, "not a class; there are kernel, execution, "),
        (&["show", "--since", "noon", "spool"], 2, "not a time as in 2026-11-26T04:00:00Z"),
        (&["export", "--node", "a b", "spool"], 2, "is not the name of a node"),
    ];
    for (arguments, code, text) in table {
        let said = bench.run(arguments);
        assert_eq!((said.code, said.out.as_str()), (*code, ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains(text), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bench = Bench::new();
    let program = Path::new(env!("CARGO_BIN_EXE_holdfast-logverify"));
    let script = format!("{} show spool 2>err | true; cat err", program.display());
    let output =
        Command::new("sh").args(["-c", &script]).current_dir(bench.folder.path()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}
