//! What each fuzzer does with its bytes. Each asserts more than the absence of panics: what is
//! accepted is written back to the same bytes, and nothing that goes in fails to come out.

use holdfast_audit_log::checkpoint::SignedCheckpoint;
use holdfast_audit_log::export::{Exporter, MAX_LINE, Selection};
use holdfast_audit_log::frame::{Class, Decoded, Frame, Kind, Timestamp};
use holdfast_audit_log::kernel::{
    Assembler, EventBuffer, KernelEvent, Limits, Message, MessageType, Output, classify,
    parse_prefix,
};
use holdfast_audit_log::segment::{SegmentHeader, SegmentReader};
use holdfast_audit_log::verify::Verifier;
use holdfast_audit_log::{Appender, Hash};

/// Takes any bytes and panics if something is wrong.
pub type Target = fn(&[u8]);

/// Every fuzzer by its name, for a test that replays what is known.
pub const TARGETS: &[(&str, Target)] = &[
    ("audit_checkpoint", audit_checkpoint),
    ("audit_export", audit_export),
    ("audit_frames", audit_frames),
    ("kernel_messages", kernel_messages),
];

/// A checkpoint that is accepted is printed again to the same bytes.
pub fn audit_checkpoint(bytes: &[u8]) {
    if let Ok(signed) = SignedCheckpoint::parse(bytes) {
        assert_eq!(signed.to_string().as_bytes(), bytes);
        assert!(!signed.signatures().is_empty());
    }
}

/// A segment: what is accepted is encoded to the same bytes, what is kept of it after a power cut is
/// a segment without fault, and the verifier, with and without headers, takes no record that is
/// not there.
pub fn audit_frames(bytes: &[u8]) {
    if let Ok(decoded) = Frame::decode(bytes) {
        let mut again = Vec::new();
        assert_eq!(decoded.frame.encode(&mut again), Ok(decoded.hash()));
        assert!(bytes.starts_with(&again));
    }
    if let Ok((header, reader)) = SegmentReader::new(bytes) {
        assert!(bytes.starts_with(&header.encode()));
        let extent = reader.extent();
        let Ok((log, resumed)) = Appender::resume(&bytes[..extent.len]) else {
            panic!("what is kept has no header")
        };
        assert_eq!(
            (resumed.records, resumed.len, resumed.fault),
            (extent.records, extent.len, None)
        );
        assert_eq!(log.size(), header.first_sequence() + extent.records);
    }
    for has_header in [true, false] {
        let mut verifier = Verifier::without_key(None);
        let mut seen = 0;
        let each = |_: &Decoded<'_>, _: Hash| seen += 1;
        if has_header {
            verifier.segment_with("segment", bytes, each);
        } else {
            verifier.frames_with("frames", bytes, each);
        }
        let report = verifier.finish(&[]).report;
        assert!(seen <= report.records);
        assert!(report.records <= (bytes.len() / Frame::OVERHEAD) as u64);
        assert!(report.findings.iter().all(|finding| finding.first <= finding.last));
    }
    let _ = SegmentHeader::decode(bytes);
}

/// Messages as a socket gives them: type (1 byte, and 1000), length (1), milliseconds since the
/// last one (1), payload. Each comes out in one event, or is counted as cut; only the messages that
/// end an event are taken for what they are. What an event says of itself can be asked for.
pub fn kernel_messages(bytes: &[u8]) {
    let limits = Limits { events: 8, bytes: 4096, wait_ns: 200_000_000 };
    let mut assembler = Assembler::new(limits);
    let (mut rest, mut now, mut sent, mut got) = (bytes, 0, 0, 0);
    while let [kind, length, wait, after @ ..] = rest {
        let kind = MessageType(1000 + 2 * u16::from(*kind));
        let (payload, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        now += u64::from(*wait) * 1_000_000;
        let is_end = kind == MessageType::EOE
            && parse_prefix(payload).is_some_and(|(_, text)| text.is_empty());
        sent += u64::from(!is_end);
        assembler.push(kind, payload, now);
        got += drain(&mut assembler);
    }
    assembler.flush();
    got += drain(&mut assembler);
    assert_eq!(sent, got);
    assert_eq!(assembler.next_deadline(), None);
    event(bytes);
}

fn drain(assembler: &mut Assembler) -> u64 {
    let mut messages = 0;
    while let Some(output) = assembler.pop() {
        if let Output::Event(found) = output {
            let is_end =
                |kind: MessageType, text: &[u8]| kind == MessageType::EOE && text.is_empty();
            let counts = |m: &Message<'_>| found.marks.is_unparsed || !is_end(m.kind, m.text);
            messages += found.messages().filter(counts).count() as u64;
            messages += u64::from(found.cut);
            event(found.as_payload());
        }
    }
    messages
}

/// An event that is accepted is put together again to the same bytes, and answers every question.
fn event(payload: &[u8]) {
    let Ok(event) = KernelEvent::parse(payload) else { return };
    let mut again = EventBuffer::new(event.id);
    event.messages().for_each(|message| assert!(again.push(message)));
    again.mark(event.marks);
    if event.cut == 0 && payload.len() <= Frame::MAX_PAYLOAD {
        assert_eq!(again.event().as_payload(), payload);
    }
    let _ = (classify(&event), event.keys(), event.arguments(), event.exe());
    let _ = (event.login_uid(), event.uid(), event.pid(), event.session());
    for field in event.messages().flat_map(|message| message.fields()) {
        let _ = (field.value(), field.known(), field.nested().map(Iterator::count));
    }
}

/// Class and kind (1 byte each), payload. Whatever it is, it becomes lines of its own: as many as
/// are counted, each with a type and an event, none too long, none with a character that a reader
/// takes for an end.
pub fn audit_export(bytes: &[u8]) {
    let [class, kind, payload @ ..] = bytes else { return };
    let frame = Frame {
        sequence: 17,
        class: Class::ALL[usize::from(*class) % Class::ALL.len()],
        kind: Kind::ALL[usize::from(*kind) % Kind::ALL.len()],
        time: Timestamp::default(),
        previous: Hash::new([0; Hash::LEN]),
        payload,
    };
    let mut exporter = Exporter::new(Selection::default(), None);
    let mut text = Vec::new();
    assert!(exporter.record(&frame, &mut text));
    let tally = exporter.tally();
    assert!(tally.lines > 0 && text.ends_with(b"\n"));
    let lines: Vec<&[u8]> = text[..text.len() - 1].split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len() as u64, tally.lines);
    for line in lines {
        assert!(line.len() < MAX_LINE && !line.iter().any(u8::is_ascii_control));
        let message = line.windows(5).position(|part| part == b" msg=").map(|at| at + 5);
        let Some(message) = message else { panic!("no message") };
        let Some(Ok(name)) = line[..message - 5].strip_prefix(b"type=").map(str::from_utf8) else {
            panic!("no type")
        };
        assert!(MessageType::from_name(name).is_some());
        let Some((id, text)) = parse_prefix(&line[message..]) else { panic!("no event") };
        if id.serial == (1 << 31) + 17 && frame.kind != Kind::KernelEvent {
            assert_eq!(text.split(|byte| *byte == b'\'').count(), 3);
            assert!(text.ends_with(b"'"));
        }
    }
}
