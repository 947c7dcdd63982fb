//! Messages of the kernel, from the socket's payload to classified events.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use holdfast_audit_log::Loss;
use holdfast_audit_log::frame::Class;
use holdfast_audit_log::kernel::{
    Assembler, EventBuffer, EventId, Limits, Message, MessageType, Output, RuleKey, classify,
};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
const WAIT: u64 = 2 * SECOND;

/// An event with its marks and messages as text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    serial: u32,
    marks: String,
    messages: Vec<(u16, String)>,
}

fn event(serial: u32, marks: &str, messages: &[(u16, &str)]) -> Event {
    let messages = messages.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect();
    Event { serial, marks: marks.to_owned(), messages }
}

/// Everything that is done, events and the ranges that are lost.
fn drain(assembler: &mut Assembler) -> (Vec<Event>, Vec<(u32, u32)>) {
    let (mut events, mut lost) = (Vec::new(), Vec::new());
    while let Some(output) = assembler.pop() {
        match output {
            Output::Loss(Loss { first_serial, last_serial, .. }) => {
                lost.push((first_serial.unwrap(), last_serial.unwrap()));
            }
            Output::Event(found) => {
                let marks = found.marks;
                let names = [
                    (marks.is_late, "late"),
                    (marks.is_unended, "unended"),
                    (marks.is_unparsed, "unparsed"),
                ];
                let marks: Vec<_> = names.iter().filter(|(set, _)| *set).map(|(_, n)| *n).collect();
                let text =
                    |m: Message<'_>| (m.kind.0, String::from_utf8_lossy(m.text).into_owned());
                events.push(Event {
                    serial: found.id.serial,
                    marks: marks.join(" "),
                    messages: found.messages().map(text).collect(),
                });
            }
        }
    }
    (events, lost)
}

fn push(assembler: &mut Assembler, kind: u16, serial: u32, text: &str, now: u64) {
    let payload = format!("audit(1364481363.243:{serial}): {text}");
    assembler.push(MessageType(kind), payload.as_bytes(), now);
}

#[test]
fn interleaved_events_end_with_their_eoe() {
    let mut assembler = Assembler::new(Limits::default());
    push(&mut assembler, 1300, 7, "a=1", 0);
    push(&mut assembler, 1300, 8, "a=2", 1);
    push(&mut assembler, 1302, 7, "item=0", 2);
    push(&mut assembler, 1112, 9, "pid=1 msg='x'", 2);
    push(&mut assembler, 1320, 8, "", 3);
    push(&mut assembler, 1320, 7, "", 4);
    let (events, lost) = drain(&mut assembler);
    assert_eq!(
        events,
        [
            event(9, "", &[(1112, "pid=1 msg='x'")]),
            event(8, "", &[(1300, "a=2")]),
            event(7, "", &[(1300, "a=1"), (1302, "item=0")]),
        ]
    );
    assert!(lost.is_empty());
    assert_eq!((assembler.next_deadline(), assembler.last_serial()), (None, Some(9)));
}

#[test]
fn an_event_without_end_waits_for_its_time() {
    let mut assembler = Assembler::new(Limits::default());
    push(&mut assembler, 1400, 7, "avc", SECOND);
    assert_eq!(assembler.next_deadline(), Some(SECOND + WAIT));
    assembler.tick(SECOND + WAIT - 1);
    assert_eq!(drain(&mut assembler).0, []);
    assembler.tick(SECOND + WAIT);
    assert_eq!(drain(&mut assembler).0, [event(7, "unended", &[(1400, "avc")])]);
    // Its end, and more of it, came too late; the end says nothing that is not known.
    push(&mut assembler, 1320, 7, "", SECOND + WAIT);
    assert_eq!(drain(&mut assembler).0, []);
    push(&mut assembler, 1300, 7, "a=1", SECOND + WAIT);
    push(&mut assembler, 1320, 7, "", SECOND + WAIT);
    assert_eq!(drain(&mut assembler).0, [event(7, "late", &[(1300, "a=1")])]);
}

#[test]
fn an_end_without_a_beginning_is_kept() {
    let mut assembler = Assembler::new(Limits::default());
    push(&mut assembler, 1320, 7, "", 0);
    assert_eq!(drain(&mut assembler).0, [event(7, "", &[(1320, "")])]);
}

#[test]
fn what_cannot_be_parsed_is_kept_as_it_is() {
    let mut assembler = Assembler::new(Limits::default());
    assembler.push(MessageType(1399), b"audit(1.5:1): x\xFF", 0);
    assembler.push(MessageType(1300), b"", 0);
    let (events, lost) = drain(&mut assembler);
    let whole = "audit(1.5:1): x\u{FFFD}";
    assert_eq!(
        events,
        [event(0, "unparsed", &[(1399, whole)]), event(0, "unparsed", &[(1300, "")])]
    );
    assert!(lost.is_empty());
}

#[test]
fn too_many_open_events_end_the_oldest() {
    let limits = Limits { events: 2, bytes: 100, ..Limits::default() };
    let mut assembler = Assembler::new(limits);
    for serial in 1..=3 {
        push(&mut assembler, 1300, serial, "a", 0);
    }
    assert_eq!(drain(&mut assembler).0, [event(1, "unended", &[(1300, "a")])]);
    let long = "x".repeat(60);
    push(&mut assembler, 1302, 3, &long, 0);
    assert_eq!(drain(&mut assembler).0, [event(2, "unended", &[(1300, "a")])]);
    // One event alone is over the limit too.
    push(&mut assembler, 1302, 3, &long, 0);
    let expected = event(3, "unended", &[(1300, "a"), (1302, &long), (1302, &long)]);
    assert_eq!(drain(&mut assembler).0, [expected]);
}

#[test]
fn serial_numbers_that_do_not_come_are_lost() {
    let mut assembler = Assembler::new(Limits::default()).after(u32::MAX - 2);
    for serial in [u32::MAX, 3, 0] {
        push(&mut assembler, 1112, serial, "a", 0);
    }
    assert_eq!(assembler.next_deadline(), Some(WAIT));
    assembler.tick(WAIT - 1);
    assert_eq!(drain(&mut assembler).1, []);
    assembler.tick(WAIT);
    assert_eq!(drain(&mut assembler).1, [(u32::MAX - 1, u32::MAX - 1), (1, 2)]);
    push(&mut assembler, 1112, 2, "a", WAIT);
    assert_eq!(drain(&mut assembler).0, [event(2, "late", &[(1112, "a")])]);
}

#[test]
fn an_end_of_all_leaves_nothing_behind() {
    let mut assembler = Assembler::new(Limits::default());
    push(&mut assembler, 1300, 7, "a", 0);
    push(&mut assembler, 1112, 10, "b", 0);
    drain(&mut assembler);
    assembler.flush();
    let (events, lost) = drain(&mut assembler);
    assert_eq!((events, lost), (vec![event(7, "unended", &[(1300, "a")])], vec![(8, 9)]));
    assert_eq!(assembler.next_deadline(), None);
}

fn assembled(messages: &[(u16, &str)]) -> EventBuffer {
    let id = EventId { seconds: 1, milliseconds: 2, serial: 3 };
    let mut buffer = EventBuffer::new(id);
    for (kind, text) in messages {
        assert!(buffer.push(Message { kind: MessageType(*kind), text: text.as_bytes() }));
    }
    buffer
}

const SYSCALL: &str = "arch=c000003e syscall=59 success=yes exit=0 a0=55d0 a1=7f a2=0 a3=0 items=2 \
    ppid=1200 pid=1201 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 \
    ses=4 comm=6D792070726F67 exe=\"/usr/bin/my prog\" subj=unconfined key=\"hf-exec\"";
const USER: &str = "pid=812 uid=0 auid=4294967295 ses=4294967295 subj=unconfined msg='op=login \
    auid=0 acct=\"it's me\" exe=\"/usr/sbin/sshd\" hostname=? addr=10.0.0.7 terminal=ssh res=failed'";

#[test]
fn fields_of_a_system_call() {
    let buffer = assembled(&[
        (1300, SYSCALL),
        (1309, "argc=4 a0=\"ls\" a1=2F746D702F412042 a2_len=9000 a2[0]=\"abc\""),
        (1309, "a2[1]=6465 a2[2]=\"\" a3=\"\""),
        (1327, "proctitle=6C73002D6C"),
    ]);
    let event = buffer.event();
    let ids = [event.login_uid(), event.uid(), event.pid(), event.session()];
    assert_eq!(ids, [Some(1000), Some(0), Some(1201), Some(4)]);
    assert_eq!(event.key().as_deref(), Some(&b"hf-exec"[..]));
    assert_eq!(event.exe().as_deref(), Some(&b"/usr/bin/my prog"[..]));
    assert_eq!(event.arguments(), [&b"ls"[..], b"/tmp/A B", b"abcde", b""]);
    let table: &[(&str, Option<&[u8]>)] = &[
        ("comm", Some(b"my prog")),
        // Numbers of a system call, not texts of an execve.
        ("a0", Some(b"55d0")),
        ("proctitle", Some(b"ls\0-l")),
        ("tty", Some(b"pts0")),
        ("a2_len", Some(b"9000")),
        ("nothing", None),
        ("", None),
    ];
    for (name, value) in table {
        assert_eq!(event.field(name).as_deref(), *value, "{name}");
    }
}

#[test]
fn a_process_cannot_overrule_the_kernel() {
    let buffer = assembled(&[(1112, USER)]);
    let event = buffer.event();
    assert_eq!((event.login_uid(), event.session(), event.uid()), (None, None, Some(0)));
    assert_eq!(event.field("acct").as_deref(), Some(&b"it's me"[..]));
    assert_eq!(event.field("res").as_deref(), Some(&b"failed"[..]));
    assert_eq!(event.field("hostname"), None);
    assert_eq!(event.key(), None);
    let buffer = assembled(&[(1112, "msg='uid=7 x=1' uid=5")]);
    assert_eq!(buffer.event().uid(), Some(5));
}

#[test]
fn odd_texts_have_the_fields_that_they_have() {
    let table: &[(&str, &[(&str, &str)])] = &[
        ("", &[]),
        ("=", &[("", "")]),
        ("a", &[]),
        ("avc:  denied  { read } for  pid=1 name=\"x\"", &[("pid", "1"), ("name", "x")]),
        ("login pid=1 old auid=2, new auid=3\n", &[("pid", "1"), ("auid", "2,"), ("auid", "3")]),
        ("a=\"open b=1", &[("a", "\"open"), ("b", "1")]),
        ("a='open b=1", &[("a", "'open"), ("b", "1")]),
        ("a= b=1\0", &[("a", ""), ("b", "1")]),
        ("path=(null) key=(null)", &[("path", "(null)"), ("key", "(null)")]),
        ("name=ABC", &[("name", "ABC")]),
        ("name=4142 mode=4142", &[("name", "AB"), ("mode", "4142")]),
    ];
    for (text, expected) in table {
        let message = Message { kind: MessageType(1302), text: text.as_bytes() };
        let found: Vec<(String, String)> = message
            .fields()
            .map(|f| (f.name.to_vec(), f.value().into_owned()))
            .map(|(n, v)| (String::from_utf8(n).unwrap(), String::from_utf8(v).unwrap()))
            .collect();
        let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn classes() {
    let call = |key: &str| format!("arch=c000003e syscall=1 auid=1000 key={key}");
    let two = call("68662D657865630168662D7065726D697373696F6E");
    let keyed: Vec<(String, Class)> = RuleKey::ALL
        .iter()
        .map(|key| (call(&format!("\"{}\"", key.as_str())), key.class()))
        .collect();
    for (text, class) in &keyed {
        assert_eq!(classify(&assembled(&[(1300, text)]).event()), *class, "{text}");
    }
    let table: &[(&[(u16, &str)], Class)] = &[
        (&[], Class::Kernel),
        (&[(1300, &call("(null)"))], Class::Kernel),
        (&[(1300, &call("\"other\""))], Class::Kernel),
        (&[(1300, &two)], Class::Permission),
        (&[(1300, &call("\"hf-exec\"")), (1309, "argc=1 a0=\"ls\"")], Class::Execution),
        (&[(1300, &call("(null)")), (1309, "argc=1 a0=\"ls\"")], Class::Execution),
        (
            &[(1006, "pid=1 uid=0 old-auid=4294967295 auid=0 res=1"), (1300, &call("(null)"))],
            Class::Authentication,
        ),
        (&[(1305, "op=set audit_enabled=2 res=1"), (1300, &call("\"hf-exec\""))], Class::Policy),
        // What a rule is called that is taken away is not what was matched.
        (&[(1305, "op=remove_rule key=\"hf-time\" list=4 res=1")], Class::Policy),
        (&[(1112, USER)], Class::Authentication),
        (&[(1103, "")], Class::Authentication),
        (&[(1114, "")], Class::Permission),
        (&[(1137, "")], Class::Usb),
        (&[(1138, "")], Class::Update),
        (&[(1130, "")], Class::System),
        (&[(1333, "")], Class::System),
        (&[(1325, "table=filter")], Class::Policy),
        (&[(1330, "name=\"loop\""), (1300, &call("\"hf-modules\""))], Class::Policy),
        (&[(1404, "")], Class::Policy),
        (&[(1400, "")], Class::Kernel),
        (&[(1999, "")], Class::Kernel),
        // A process that has its own message hold a key.
        (&[(1121, "msg='key=\"hf-permission\"'")], Class::Kernel),
    ];
    for (messages, class) in table {
        assert_eq!(classify(&assembled(messages).event()), *class, "{messages:?}");
    }
}

/// Messages of an event, of which the last may be its end.
#[derive(Clone, Debug)]
struct Made {
    texts: Vec<String>,
    has_end: bool,
}

fn any_made() -> impl Strategy<Value = Made> {
    let texts = prop::collection::vec("[a-z=\" ]{0,12}", 1..4);
    (texts, any::<bool>()).prop_map(|(texts, has_end)| Made { texts, has_end })
}

proptest! {
    #[test]
    fn nothing_that_goes_in_fails_to_come_out(
        made in prop::collection::vec(any_made(), 1..30),
        order in any::<prop::sample::Index>(),
        start in prop_oneof![Just(1u32), Just(u32::MAX - 3)],
        dropped in prop::collection::btree_set(0..30usize, 0..4),
        events in 1..8usize,
    ) {
        let limits = Limits { events, bytes: 300, ..Limits::default() };
        let mut assembler = Assembler::new(limits).after(start);
        let serial_of = |place: usize| start.wrapping_add(u32::try_from(place).unwrap() + 1);
        let mut queue: Vec<(usize, u16, String)> = Vec::new();
        for (place, made) in made.iter().enumerate().filter(|(p, _)| !dropped.contains(p)) {
            queue.extend(made.texts.iter().map(|text| (place, 1300, text.clone())));
            if made.has_end {
                queue.push((place, 1320, String::new()));
            }
        }
        // Neighbours change places, so that events are mixed and out of order.
        for place in 1..queue.len() {
            if order.index(place + 1) % 2 == 0 && queue[place - 1].0 != queue[place].0 {
                queue.swap(place - 1, place);
            }
        }
        let (mut events, mut lost) = (Vec::new(), Vec::new());
        for (time, (place, kind, text)) in queue.iter().enumerate() {
            push(&mut assembler, *kind, serial_of(*place), text, time as u64 * SECOND / 4);
            let (more, gone) = drain(&mut assembler);
            events.extend(more);
            lost.extend(gone);
        }
        assembler.flush();
        let (more, gone) = drain(&mut assembler);
        events.extend(more);
        lost.extend(gone);
        let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for event in &events {
            let texts = event.messages.iter().filter(|(kind, _)| *kind != 1320);
            found.entry(event.serial).or_default().extend(texts.map(|(_, text)| text.clone()));
        }
        for (place, made) in made.iter().enumerate().filter(|(p, _)| !dropped.contains(p)) {
            prop_assert_eq!(found.get(&serial_of(place)), Some(&made.texts), "event {}", place);
        }
        let last = queue.iter().map(|(place, ..)| *place).max();
        let gone: BTreeSet<u32> =
            dropped.iter().filter(|p| last.is_some_and(|l| **p < l)).map(|p| serial_of(*p)).collect();
        let told: BTreeSet<u32> = lost
            .iter()
            .flat_map(|(a, b)| (0..=b.wrapping_sub(*a)).map(move |n| a.wrapping_add(n)))
            .collect();
        // Numbers that came too late are told as lost, and are there, marked as late.
        prop_assert!(told.is_superset(&gone));
        for extra in told.difference(&gone) {
            prop_assert!(events.iter().any(|e| e.serial == *extra && e.marks.contains("late")));
        }
    }
}
