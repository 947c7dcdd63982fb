//! Records as text for the tools of the Linux audit system.
#![allow(clippy::unwrap_used)]

use holdfast_audit_log::checkpoint::{Checkpoint, KeyId};
use holdfast_audit_log::export::{Exporter, MAX_LINE, Node, Selection, Tally};
use holdfast_audit_log::frame::{Class, Frame, Kind, Timestamp};
use holdfast_audit_log::kernel::{
    EventBuffer, EventId, KernelEvent, Marks, Message, MessageType, parse_prefix,
};
use holdfast_audit_log::{
    Action, Actor, AuditRecord, Boot, ClockStep, Hash, Loss, LossCause, Origin, Recovered, Source,
    Text,
};
use proptest::prelude::*;
use time::OffsetDateTime;

const SECONDS: u64 = 1_364_481_363;
const ID: EventId = EventId { seconds: SECONDS, milliseconds: 243, serial: 24_287 };

fn frame(class: Class, kind: Kind, payload: &[u8]) -> Frame<'_> {
    let realtime_ns = SECONDS * 1_000_000_000 + 250_999_999;
    let time = Timestamp { realtime_ns, ..Timestamp::default() };
    Frame { sequence: 17, class, kind, time, previous: Hash::new([0; 32]), payload }
}

/// What stands after `msg='` in each line, and how it was counted.
fn export(frame: &Frame<'_>) -> (String, Tally) {
    let mut exporter = Exporter::new(Selection::default(), None);
    let mut text = Vec::new();
    assert!(exporter.record(frame, &mut text));
    (String::from_utf8(text).unwrap(), exporter.tally())
}

fn event(messages: &[(u16, &[u8])]) -> EventBuffer {
    let mut buffer = EventBuffer::new(ID);
    for (kind, text) in messages {
        buffer.push(Message { kind: MessageType(*kind), text });
    }
    buffer
}

#[test]
fn messages_of_the_kernel_are_lines_as_they_came() {
    let buffer = event(&[
        (1300, b"arch=c000003e syscall=59 comm=\"ls\""),
        (1309, b"argc=2 a0=\"ls\" a1=2F746D702F412042"),
        (1399, "name=\"\u{fc}\"".as_bytes()),
        (1320, b""),
    ]);
    let (text, tally) =
        export(&frame(Class::Execution, Kind::KernelEvent, buffer.event().as_payload()));
    assert_eq!(
        text,
        "type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=59 comm=\"ls\"\n\
         type=EXECVE msg=audit(1364481363.243:24287): argc=2 a0=\"ls\" a1=2F746D702F412042\n\
         type=UNKNOWN[1399] msg=audit(1364481363.243:24287): name=\"\u{fc}\"\n\
         type=EOE msg=audit(1364481363.243:24287): \n"
    );
    assert_eq!(tally, Tally { records: 1, lines: 4, ..Tally::default() });
}

#[test]
fn what_would_begin_another_record_or_name_users_is_replaced() {
    let forged =
        b"pid=1 uid=0 msg='op=x\ntype=USER_LOGIN msg=audit(1.000:1): res=success\x1dUID=\"root\"'";
    let buffer = event(&[(1112, forged), (1112, b"pid=1 msg='a\tb'"), (1112, b"pid=1 msg='c'")]);
    let (text, tally) =
        export(&frame(Class::Kernel, Kind::KernelEvent, buffer.event().as_payload()));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "type=USER_LOGIN msg=audit(1364481363.243:24287): pid=1 uid=0 msg='op=x?type=USER_LOGIN \
         msg=audit(1.000:1): res=success?UID=\"root\"'"
    );
    assert_eq!(tally, Tally { records: 1, lines: 3, replaced: 2, ..Tally::default() });
}

#[test]
fn a_line_is_no_longer_than_the_buffer_of_ausearch() {
    let prefix = "type=USER_AUTH msg=audit(1364481363.243:24287): ".len();
    let fits = vec![b'x'; MAX_LINE - prefix - 1];
    let long = [fits.as_slice(), b"type=USER_LOGIN msg=audit(1.000:1): "].concat();
    let buffer = event(&[(1100, &fits), (1100, &long)]);
    let (text, tally) =
        export(&frame(Class::Kernel, Kind::KernelEvent, buffer.event().as_payload()));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], lines[1]);
    assert_eq!(lines[0].len() + 1, MAX_LINE);
    assert_eq!(tally, Tally { records: 1, lines: 2, cut: 1, ..Tally::default() });
}

#[test]
fn what_is_missing_from_an_event_is_told() {
    let mut buffer = event(&[(1300, b"a=1")]);
    buffer.push(Message { kind: MessageType(1309), text: &vec![b'x'; 70_000] });
    let (text, _) = export(&frame(Class::Kernel, Kind::KernelEvent, buffer.event().as_payload()));
    let told = text.lines().nth(1).unwrap();
    assert_eq!(
        told,
        "type=USER msg=audit(1364481363.250:2147483665): pid=0 uid=4294967295 auid=4294967295 \
         ses=4294967295 msg='op=messages-cut seq=17 class=kernel event=\"1364481363.243:24287\" \
         count=1 hostname=? addr=? terminal=? res=failed'"
    );
    let mut buffer = EventBuffer::new(EventId::default());
    buffer.push(Message { kind: MessageType(1300), text: b"audit(1.0:x): a=\n1" });
    buffer.mark(Marks { is_unparsed: true, ..Marks::default() });
    let (text, tally) =
        export(&frame(Class::Kernel, Kind::KernelEvent, buffer.event().as_payload()));
    let expected = "op=message-unparsed seq=17 class=kernel type=SYSCALL \
                    text=617564697428312E303A78293A20613D0A31 ";
    assert!(text.contains(expected), "{text}");
    assert_eq!((text.lines().count(), tally.unreadable), (1, 0));
}

fn operation() -> AuditRecord {
    AuditRecord::new(
        OffsetDateTime::from_unix_timestamp(i64::try_from(SECONDS).unwrap()).unwrap(),
        Source::device("enroller").unwrap(),
        Actor {
            pid: Some(42),
            process: Some(Text::lossy("/usr/bin/busctl")),
            unit: Some(Text::lossy("session-1.scope")),
            ..Actor::user(1000).with_login_uid(1001)
        },
        Action::new("identity.sign").unwrap(),
        Text::new("tls").unwrap(),
    )
    .with_arguments(&[b"a"])
}

#[test]
fn operations_are_messages_of_user_space() {
    let digest = String::from(*operation().arguments_sha256());
    let late = AuditRecord::new(
        OffsetDateTime::from_unix_timestamp(1_364_480_000).unwrap(),
        Source::cloud(),
        Actor::api_key(Text::new("ops=1").unwrap()),
        Action::new("registry.register").unwrap(),
        Text::default(),
    );
    let no_digest = String::from(*late.arguments_sha256());
    let table: &[(Class, AuditRecord, String)] = &[
        (
            Class::Authentication,
            operation(),
            format!(
                "type=USER msg=audit(1364481363.250:2147483665): pid=42 uid=1000 auid=1001 \
                 ses=4294967295 msg='op=identity.sign seq=17 class=authentication \
                 source=enroller name=\"tls\" decision=allowed arguments={digest} actor=user \
                 unit=\"session-1.scope\" exe=\"/usr/bin/busctl\" hostname=? addr=? terminal=? \
                 res=success'\n"
            ),
        ),
        (
            Class::Usb,
            operation().denied(Text::new("it's exe=\"x\"").unwrap()),
            format!(
                "type=USER_DEVICE msg=audit(1364481363.250:2147483665): pid=42 uid=1000 auid=1001 \
                 ses=4294967295 msg='op=identity.sign seq=17 class=usb source=enroller \
                 device=\"tls\" decision=denied info=69742773206578653D227822 arguments={digest} \
                 actor=user unit=\"session-1.scope\" exe=\"/usr/bin/busctl\" hostname=? addr=? \
                 terminal=? res=failed'\n"
            ),
        ),
        (
            Class::Operation,
            late,
            format!(
                "type=USER msg=audit(1364481363.250:2147483665): pid=0 uid=4294967295 \
                 auid=4294967295 ses=4294967295 msg='op=registry.register seq=17 class=operation \
                 source=cloud asked=1364480000 name=? decision=allowed arguments={no_digest} \
                 actor=api-key acct=6F70733D31 hostname=? addr=? terminal=? res=success'\n"
            ),
        ),
    ];
    for (class, record, expected) in table {
        let json = record.to_json().unwrap();
        let (text, tally) = export(&frame(*class, Kind::Operation, json.as_bytes()));
        assert_eq!(text, *expected);
        assert_eq!(tally, Tally { records: 1, lines: 1, ..Tally::default() });
    }
    for (class, kind) in [(Class::Update, "SOFTWARE_UPDATE"), (Class::Permission, "USER_MGMT")] {
        let json = operation().to_json().unwrap();
        let (text, _) = export(&frame(class, Kind::Operation, json.as_bytes()));
        assert!(text.starts_with(&format!("type={kind} ")), "{text}");
    }
}

#[test]
fn what_the_log_says_of_itself() {
    let loss = Loss {
        first_serial: Some(4),
        last_serial: Some(9),
        uid: Some(1000),
        ..Loss::new(LossCause::SerialGap, 6)
    };
    let recovered = Recovered { bytes: 71, fault: Text::lossy("byte 9: cut off") };
    let boot = Boot {
        boot_id: Text::lossy("3c9b"),
        release: Text::lossy("41"),
        kernel: Text::lossy("6.12.0-amd64"),
        firmware: Text::lossy("EDK II 2025.02"),
    };
    let clock = ClockStep { before_ns: 1, after_ns: 2 };
    let checkpoint = Checkpoint {
        origin: Origin::new("holdfast.example/audit/3f9a").unwrap(),
        size: 16,
        root: Hash::new([0xAB; 32]),
        head: Hash::new([0; 32]),
        boot: None,
    };
    let checkpoint = checkpoint.signed(KeyId::new([0; 4]), vec![1]).to_string();
    let root = "ab".repeat(32);
    let table: &[(Kind, String, &str, String)] = &[
        (
            Kind::Loss,
            loss.to_json().unwrap(),
            "USER",
            "uid=1000 auid=4294967295 ses=4294967295 msg='op=records-lost seq=17 class=log \
             cause=serial-gap count=6 first_serial=4 last_serial=9 hostname=? addr=? terminal=? \
             res=failed'"
                .into(),
        ),
        (
            Kind::Recovered,
            recovered.to_json().unwrap(),
            "USER",
            "op=log-recovered seq=17 class=log bytes=71 info=6279746520393A20637574206F6666 "
                .into(),
        ),
        (
            Kind::Checkpoint,
            checkpoint,
            "USER",
            format!(
                "op=checkpoint seq=17 class=log log=\"holdfast.example/audit/3f9a\" size=16 \
                 root={root} "
            ),
        ),
        (
            Kind::Boot,
            boot.to_json().unwrap(),
            "SYSTEM_BOOT",
            "op=boot seq=17 class=log boot_id=\"3c9b\" ver=\"41\" kernel=\"6.12.0-amd64\" \
             firmware=45444B20494920323032352E3032 "
                .into(),
        ),
        (
            Kind::Clock,
            clock.to_json().unwrap(),
            "USYS_CONFIG",
            "op=change-system-time seq=17 class=log old_ns=1 new_ns=2 ".into(),
        ),
    ];
    for (kind, payload, name, expected) in table {
        let (text, _) = export(&frame(Class::Log, *kind, payload.as_bytes()));
        assert!(text.starts_with(&format!("type={name} msg=audit(1364481363.250:")), "{text}");
        assert!(text.contains(expected), "{text}");
        // The same payload under another kind is nobody's.
        let other = if *kind == Kind::Loss { Kind::Boot } else { Kind::Loss };
        let (text, tally) = export(&frame(Class::Log, other, payload.as_bytes()));
        assert!(text.contains("op=payload-unreadable seq=17 class=log kind="), "{text}");
        assert_eq!((tally.lines, tally.unreadable), (1, 1));
    }
}

#[test]
fn selection() {
    let at = |sequence, seconds: u64, class| Frame {
        sequence,
        time: Timestamp { realtime_ns: seconds * 1_000_000_000, ..Timestamp::default() },
        ..frame(class, Kind::Loss, b"")
    };
    let records: Vec<_> =
        (0..10).map(|n| at(n, 100 + n, if n < 5 { Class::Log } else { Class::Usb })).collect();
    let second = |n: u64| n * 1_000_000_000;
    let table: &[(Selection, &[u64])] = &[
        (Selection::default(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (Selection { sequences: 3..=5, ..Selection::default() }, &[3, 4, 5]),
        (Selection { realtime_ns: second(107)..=u64::MAX, ..Selection::default() }, &[7, 8, 9]),
        (Selection { realtime_ns: 0..=second(101), ..Selection::default() }, &[0, 1]),
        (
            Selection { sequences: 4..=u64::MAX, class: Some(Class::Log), ..Selection::default() },
            &[4],
        ),
    ];
    for (selection, expected) in table {
        let mut exporter = Exporter::new(selection.clone(), None);
        let mut text = Vec::new();
        let written = |frame: &&Frame<'_>| exporter.record(frame, &mut text);
        let selected: Vec<u64> = records.iter().filter(written).map(|f| f.sequence).collect();
        assert_eq!(selected, *expected);
        assert_eq!(exporter.tally().lines, expected.len() as u64);
    }
}

#[test]
fn names_of_nodes() {
    let origin = Origin::new("holdfast.example/audit/3f9a").unwrap();
    let node = Node::of_origin(&origin).unwrap();
    assert_eq!(node.to_string(), "3f9a");
    let mut exporter = Exporter::new(Selection::default(), Some(node));
    let mut text = Vec::new();
    exporter.record(&frame(Class::Log, Kind::Loss, b""), &mut text);
    assert!(text.starts_with(b"node=3f9a type=USER msg=audit("));
    let long = "x".repeat(256);
    for bad in ["", "a b", "a\nb", "type=x", "\u{fc}", &long] {
        assert!(Node::new(bad).is_err(), "{bad}");
    }
}

/// Names by which ausearch finds fields, wherever they stand in the line.
const SEARCHED: [&str; 13] = [
    "pid=",
    "uid=",
    "ses=",
    "subj=",
    "acct=",
    "hostname=",
    "addr=",
    "terminal=",
    "exe=",
    "comm=",
    "cwd=",
    "res=",
    "vm=",
];

/// How often each of them may stand in a line of ours: uid is in auid too.
fn assert_fields_are_ours(line: &str) {
    for name in SEARCHED {
        let most = if name == "uid=" { 2 } else { 1 };
        assert!(line.matches(name).count() <= most, "{name} in {line}");
    }
    assert_eq!(line.matches('\'').count(), 2, "{line}");
    assert!(line.ends_with('\''), "{line}");
}

fn assert_lines(text: &[u8], tally: Tally) {
    assert_eq!(text.last(), Some(&b'\n'));
    let lines: Vec<&[u8]> = text[..text.len() - 1].split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len() as u64, tally.lines);
    for line in lines {
        assert!(line.len() < MAX_LINE);
        assert!(!line.iter().any(u8::is_ascii_control));
        let rest = line.strip_prefix(b"type=").unwrap();
        let space = rest.iter().position(|byte| *byte == b' ').unwrap();
        let name = str::from_utf8(&rest[..space]).unwrap();
        assert!(MessageType::from_name(name).is_some(), "{name}");
        let message = rest[space..].strip_prefix(b" msg=").unwrap();
        let (id, _) = parse_prefix(message).unwrap();
        if id.serial >= 1 << 31 {
            assert_fields_are_ours(str::from_utf8(line).unwrap());
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.as_slice())
}

/// Text that a foe would choose.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        " ",
        "'",
        "\"",
        "=",
        ",",
        ")",
        "\n",
        "\r",
        "\0",
        "\x1d",
        "\u{fc}",
        "\u{2028}",
        "res=",
        "uid=0",
        "exe=\"x\"",
        "type=USER_LOGIN msg=audit(1.000:1): ",
        "msg='",
        "00",
        "?",
    ]);
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_payload_is_lines_of_its_own(
        kind in kinds(),
        class in prop::sample::select(Class::ALL.as_slice()),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut exporter = Exporter::new(Selection::default(), None);
        let mut text = Vec::new();
        exporter.record(&frame(class, kind, &payload), &mut text);
        assert_lines(&text, exporter.tally());
    }

    #[test]
    fn any_event_is_a_line_for_each_message(
        serial in 0..1u32 << 31,
        messages in prop::collection::vec(
            (any::<u16>(), prop_oneof![
                hostile().prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..40),
                prop::collection::vec(Just(b'x'), MAX_LINE - 80..MAX_LINE + 80),
            ]),
            1..5,
        ),
    ) {
        let mut buffer = EventBuffer::new(EventId { serial, ..ID });
        for (kind, text) in &messages {
            buffer.push(Message { kind: MessageType(*kind), text });
        }
        let mut exporter = Exporter::new(Selection::default(), None);
        let mut text = Vec::new();
        let payload = buffer.event();
        exporter.record(&frame(Class::Kernel, Kind::KernelEvent, payload.as_payload()), &mut text);
        let tally = exporter.tally();
        assert_lines(&text, tally);
        prop_assert_eq!(tally.lines, messages.len() as u64);
        // What was not changed is read back as it was.
        if tally.replaced + tally.cut == 0 {
            let mut again = EventBuffer::new(payload.id);
            for line in text[..text.len() - 1].split(|byte| *byte == b'\n') {
                let (name, message) = line.split_at(line.windows(5).position(|w| w == b" msg=").unwrap());
                let name = str::from_utf8(name.strip_prefix(b"type=").unwrap()).unwrap();
                let (_, text) = parse_prefix(&message[5..]).unwrap();
                again.push(Message { kind: MessageType::from_name(name).unwrap(), text });
            }
            prop_assert_eq!(KernelEvent::parse(again.event().as_payload()), Ok(payload));
        }
    }

    #[test]
    fn no_text_of_an_operation_reaches_beyond_its_field(
        class in prop::sample::select(Class::ALL.as_slice()),
        target in hostile(),
        process in hostile(),
        unit in hostile(),
        name in hostile(),
        reason in hostile(),
    ) {
        let record = AuditRecord::new(
            OffsetDateTime::UNIX_EPOCH,
            Source::cloud(),
            Actor {
                process: Some(Text::lossy(&process)),
                unit: Some(Text::lossy(&unit)),
                ..Actor::api_key(Text::lossy(&format!("n{name}")))
            },
            Action::new("a.b").unwrap(),
            Text::lossy(&target),
        )
        .denied(Text::lossy(&reason));
        let json = record.to_json().unwrap();
        let mut exporter = Exporter::new(Selection::default(), None);
        let mut text = Vec::new();
        exporter.record(&frame(class, Kind::Operation, json.as_bytes()), &mut text);
        prop_assert_eq!(exporter.tally().cut, 0);
        assert_lines(&text, exporter.tally());
        // The reader of messages finds in each field what was put there.
        let line = str::from_utf8(&text).unwrap();
        let (_, message) = parse_prefix(line.split_once(" msg=").unwrap().1.trim_end().as_bytes()).unwrap();
        let message = Message { kind: MessageType(1005), text: message };
        let inner = message.fields().find_map(|field| field.nested()).unwrap();
        let found: Vec<_> = inner.clone().map(|f| (f.name.to_vec(), f.value().into_owned())).collect();
        let value = |name: &str| found.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, v)| v.clone());
        let lossy = |text: &str| if text.is_empty() { b"?".to_vec() } else { text.as_bytes().to_vec() };
        let exe = record.actor().process.clone().unwrap();
        prop_assert_eq!(value("exe"), Some(lossy(exe.as_str())));
        let acct = record.actor().name.clone().unwrap();
        prop_assert_eq!(value("acct"), Some(lossy(acct.as_str())));
        prop_assert_eq!(value("res"), Some(b"failed".to_vec()));
    }

    #[test]
    fn the_longest_texts_fit_into_a_line(c in prop::sample::select(vec!['a', ' ', '\u{fc}'])) {
        let long = c.to_string().repeat(4096);
        let record = AuditRecord::new(
            OffsetDateTime::UNIX_EPOCH,
            Source::device(&"a".repeat(32)).unwrap(),
            Actor {
                process: Some(Text::lossy(&long)),
                unit: Some(Text::lossy(&long)),
                name: Some(Text::lossy(&long)),
                pid: Some(u32::MAX),
                ..Actor::user(1).with_login_uid(1)
            },
            Action::new(format!("{}.b", "a".repeat(62))).unwrap(),
            Text::lossy(&long),
        )
        .failed(Text::lossy(&long));
        let json = record.to_json().unwrap();
        let (_, tally) = export(&Frame { sequence: u64::MAX, ..frame(Class::Authentication, Kind::Operation, json.as_bytes()) });
        prop_assert_eq!(tally, Tally { records: 1, lines: 1, ..Tally::default() });
    }
}
