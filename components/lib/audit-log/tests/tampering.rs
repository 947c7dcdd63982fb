//! Every way to tamper with a small log, and what the verifier says of it.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::RangeInclusive;

use common::{File, Writer, origin};
use holdfast_audit_log::Origin;
use holdfast_audit_log::checkpoint::SignedCheckpoint;
use holdfast_audit_log::frame::Frame;
use holdfast_audit_log::segment::SegmentHeader;
use holdfast_audit_log::verify::{Ending, Fault, Finding, Report, State, Verifier};

/// Three segments of 0 to 5, 6 to 11 and 12 to 17, with checkpoints in 4, 10 and 16; 17 is the
/// only record after the last of them.
fn log(origin: Origin, key: u8) -> Writer {
    let mut writer = Writer::new(origin, key);
    for segment in 0..3 {
        if segment > 0 {
            writer.open_segment();
        }
        writer.records(4);
        writer.record_checkpoint();
        writer.records(1);
    }
    writer
}

fn ours() -> Writer {
    log(origin(), 1)
}

fn verify(files: &[File], given: &[SignedCheckpoint]) -> Report {
    let mut verifier = Verifier::new(common::Signer::new(1).audit_key(), None);
    for (name, bytes) in files {
        verifier.segment(name, bytes);
    }
    let named = |(n, c): (usize, &SignedCheckpoint)| (format!("given-{n}"), c.clone());
    let given: Vec<_> = given.iter().enumerate().map(named).collect();
    verifier.finish(&given).report
}

/// The findings, with only what a test wants to compare.
fn faults(report: &Report) -> Vec<(String, RangeInclusive<u64>)> {
    let name =
        |fault: &Fault| serde_json::to_value(fault).unwrap()["fault"].as_str().unwrap().to_owned();
    report.findings.iter().map(|f| (name(&f.fault), f.first..=f.last)).collect()
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
fn forge(bytes: &mut [u8], frame: std::ops::Range<usize>, place: usize) {
    bytes[frame.start + place] ^= 1;
    let end = frame.end - 4;
    let checksum = crc32c::crc32c(&bytes[frame.start..end]).to_be_bytes();
    bytes[end..frame.end].copy_from_slice(&checksum);
}

#[test]
fn an_honest_log_is_good() {
    let writer = ours();
    let report = verify(&writer.files, &[]);
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.first, report.records, report.size), (0, 18, 18));
    assert_eq!((report.checkpoints, report.signed_size), (3, Some(16)));
    assert_eq!(report.head, Some(writer.log.head()));
    assert_eq!(report.root, Some(writer.log.checkpoint(None).root));
    assert_eq!((report.ending, report.origin), (Ending::Whole, Some(origin())));
    let report = verify(&writer.files, &[writer.checkpoint()]);
    assert!(report.is_good());
    assert_eq!(report.signed_size, Some(18));
}

#[test]
fn a_log_whose_beginning_was_sent_away_is_good() {
    let writer = ours();
    let report = verify(&writer.files[1..], &[writer.checkpoint()]);
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.first, report.records, report.size), (6, 12, 18));
    assert_eq!(report.root, Some(writer.log.checkpoint(None).root));
}

#[test]
fn every_flipped_byte_is_found_at_its_record() {
    let writer = ours();
    let given = [writer.checkpoint()];
    for segment in 0..3 {
        let len = writer.files[segment].1.len();
        for place in 0..len {
            let bit = place % 8;
            let files = with(&writer, segment, |bytes| bytes[place] ^= 1 << bit);
            let first = writer.places.iter().position(|(s, _)| *s == segment).unwrap();
            let record = (0..18)
                .rev()
                .find(|r| writer.places[*r].0 == segment && writer.places[*r].1 <= place)
                .unwrap_or(first);
            for given in [&given[..], &[]] {
                let report = verify(&files, given);
                let record = record as u64;
                if given.is_empty() && record == 17 {
                    assert!(report.is_good());
                    assert_eq!(report.size, 17);
                    assert!(matches!(report.ending, Ending::Torn { .. }));
                    continue;
                }
                let finding = &report.findings[0];
                assert_eq!(
                    (finding.first, finding.last, finding.place.as_str()),
                    (record, record, writer.files[segment].0.as_str()),
                    "segment {segment} byte {place} bit {bit}: {:?}",
                    report.findings
                );
            }
        }
    }
}

/// One who knows the format makes the checksum right; the chain still shows it.
#[test]
fn every_flipped_byte_with_a_right_checksum_is_found() {
    let writer = ours();
    let given = [writer.checkpoint()];
    for record in 0..18 {
        let (segment, start) = writer.places[record];
        let end = writer.end_of(record);
        for place in 0..end - start - 4 {
            let files = with(&writer, segment, |bytes| forge(bytes, start..end, place));
            let report = verify(&files, &given);
            let named =
                report.findings.iter().any(|f| (f.first..=f.last).contains(&(record as u64)));
            assert!(named, "record {record} byte {place}: {:?}", report.findings);
            // The payload of an ordinary record, with records after it.
            if place >= 64 && record % 6 != 4 && record < 17 {
                let record = record as u64;
                assert_eq!(
                    faults(&report),
                    [fault("altered", record..=record)],
                    "{record} {place}"
                );
            }
        }
    }
}

#[test]
fn every_dropped_record_is_missing() {
    let writer = ours();
    for record in 0..18_usize {
        let (segment, start) = writer.places[record];
        let files = with(&writer, segment, |b| drop(b.drain(start..writer.end_of(record))));
        let report = verify(&files, &[writer.checkpoint()]);
        let number = record as u64;
        let kind = if record == 17 { "rolled-back" } else { "missing" };
        assert_eq!(faults(&report), [fault(kind, number..=number)], "{record}");
    }
}

#[test]
fn every_range_of_dropped_records_is_missing() {
    let writer = ours();
    for first in 0..18_usize {
        for last in first + 1..18 {
            let mut files = writer.files.clone();
            for record in (first..=last).rev() {
                let (segment, start) = writer.places[record];
                files[segment].1.drain(start..writer.end_of(record));
            }
            let report = verify(&files, &[writer.checkpoint()]);
            let mut named: Vec<u64> =
                report.findings.iter().flat_map(|f| f.first..=f.last).collect();
            named.dedup();
            let expected: Vec<u64> = (first as u64..=last as u64).collect();
            assert_eq!(named, expected, "{first} to {last}: {:?}", report.findings);
        }
    }
}

#[test]
fn every_repeated_record_is_named() {
    let writer = ours();
    for record in 0..18_usize {
        let frame = writer.frame(record);
        for after in record..18 {
            let (segment, _) = writer.places[after];
            let end = writer.end_of(after);
            let files = with(&writer, segment, |b| drop(b.splice(end..end, frame.clone())));
            let report = verify(&files, &[writer.checkpoint()]);
            let number = record as u64;
            assert_eq!(faults(&report), [fault("repeated", number..=number)], "{record} {after}");
        }
    }
}

#[test]
fn every_moved_record_is_out_of_order() {
    let writer = ours();
    for record in 0..18_usize {
        let (segment, start) = writer.places[record];
        let end = writer.end_of(record);
        for to in (0..18).filter(|to| *to != record && writer.places[*to].0 == segment) {
            // Before the record where it moves back, after it where it moves on.
            let place = if to < record { writer.places[to].1 } else { writer.end_of(to) };
            let files = with(&writer, segment, |bytes| {
                let frame = bytes[start..end].to_vec();
                bytes.splice(place..place, frame.clone());
                let old = if place <= start { start + frame.len() } else { start };
                bytes.drain(old..old + frame.len());
            });
            let report = verify(&files, &[writer.checkpoint()]);
            let kinds = faults(&report);
            assert!(
                kinds.iter().all(|(kind, _)| kind == "out-of-order"),
                "{record} {to}: {kinds:?}"
            );
            // Of two neighbours, either is out of order.
            let named: Vec<u64> = kinds.iter().map(|(_, records)| *records.start()).collect();
            let moved = record as u64;
            let is_named = named == [moved] || (to.abs_diff(record) == 1 && named == [to as u64]);
            assert!(is_named, "{record} to {to}: {kinds:?}");
        }
    }
}

#[test]
fn a_power_cut_is_no_tampering_but_a_cut_into_what_was_signed_is() {
    let writer = ours();
    let signed = writer.checkpoint();
    for segment in 0..3_usize {
        for cut in 0..writer.files[segment].1.len() {
            let mut files = writer.files[..=segment].to_vec();
            files[segment].1.truncate(cut);
            let whole = (0..18)
                .filter(|r| {
                    writer.places[*r].0 < segment
                        || (writer.places[*r].0 == segment && writer.end_of(*r) <= cut)
                })
                .count() as u64;
            let report = verify(&files, &[]);
            assert!(report.is_good(), "{segment} {cut}: {:?}", report.findings);
            assert_eq!(report.size, whole, "{segment} {cut}");
            assert!(report.signed_size.is_none_or(|size| size <= whole));
            let report = verify(&files, std::slice::from_ref(&signed));
            let last = report.findings.last().unwrap();
            assert_eq!(last.fault, Fault::RolledBack { signed_size: 18 }, "{segment} {cut}");
            assert_eq!((last.first, last.last), (whole, 17), "{segment} {cut}");
        }
    }
}

#[test]
fn a_segment_cut_short_before_others_is_named() {
    let writer = ours();
    for segment in 0..2_usize {
        let len = writer.files[segment].1.len();
        let header = SegmentHeader::decode(&writer.files[segment].1).unwrap().encoded_len();
        for cut in header..len {
            let files = with(&writer, segment, |bytes| bytes.truncate(cut));
            let report = verify(&files, &[]);
            let in_segment = |r: &usize| writer.places[*r].0 == segment;
            let first =
                (0..18).filter(in_segment).find(|r| writer.end_of(*r) > cut).unwrap() as u64;
            let end = (segment as u64 + 1) * 6 - 1;
            let is_between = (0..18).filter(in_segment).any(|r| writer.places[r].1 == cut);
            let kind = if is_between { "missing" } else { "truncated" };
            assert_eq!(faults(&report), [fault(kind, first..=end)], "{segment} {cut}");
        }
    }
}

#[test]
fn every_missing_repeated_or_moved_segment_is_named() {
    let writer = ours();
    let given = [writer.checkpoint()];
    let files = &writer.files;
    let pick = |order: &[usize]| -> Vec<File> { order.iter().map(|i| files[*i].clone()).collect() };
    let table: [(&[usize], &str, RangeInclusive<u64>); 5] = [
        (&[0, 2], "missing", 6..=11),
        (&[0, 1], "rolled-back", 12..=17),
        (&[0, 0, 1, 2], "repeated", 0..=5),
        (&[0, 1, 0, 2], "repeated", 0..=5),
        (&[0, 2, 1], "out-of-order", 6..=11),
    ];
    for (order, kind, records) in table {
        assert_eq!(faults(&verify(&pick(order), &given)), [fault(kind, records)], "{order:?}");
    }
}

/// Records of another log in the place of ours, from every record on.
#[test]
fn every_splice_of_two_logs_is_found() {
    let ours = ours();
    let of_another_device = log(Origin::new("holdfast.example/audit/other").unwrap(), 2);
    let of_the_same_name = {
        // The device's log of before it was reset: the same name, other records, another key.
        let mut writer = Writer::new(origin(), 2);
        writer.append(
            holdfast_audit_log::frame::Class::System,
            holdfast_audit_log::frame::Kind::Loss,
            b"another",
        );
        for segment in 0..3 {
            if segment > 0 {
                writer.open_segment();
            }
            writer.records(if segment == 0 { 3 } else { 4 });
            writer.record_checkpoint();
            writer.records(1);
        }
        writer
    };
    for theirs in [&of_another_device, &of_the_same_name] {
        for record in 1..17_usize {
            let (segment, start) = ours.places[record];
            let mut files = ours.files[..=segment].to_vec();
            files[segment].1.truncate(start);
            let (_, from) = theirs.places[record];
            files[segment].1.extend(&theirs.files[segment].1[from..]);
            files.extend(theirs.files[segment + 1..].iter().cloned());
            let report = verify(&files, &[ours.checkpoint()]);
            let number = record as u64;
            let first = report.findings.iter().find(|f| f.first <= number && number <= f.last);
            assert!(first.is_some(), "{record}: {:?}", report.findings);
            let is_before = |f: &&Finding| f.last + 1 < number;
            assert_eq!(report.findings.iter().find(is_before), None, "{record}");
        }
    }
}

#[test]
fn every_replaced_segment_is_found() {
    let ours = ours();
    let given = [ours.checkpoint()];
    for segment in 0..3_usize {
        // Forged by someone without the key: linked to what is before, with other records.
        let header = SegmentHeader::decode(&ours.files[segment].1).unwrap();
        let mut log = holdfast_audit_log::Appender::at(header.clone());
        let mut bytes = header.encode();
        let first = header.first_sequence();
        for record in first..first + 6 {
            let frame = ours.frame(usize::try_from(record).unwrap());
            let Frame { class, kind, time, payload, .. } = Frame::decode(&frame).unwrap().frame;
            let payload = if record == first + 2 { b"forged" } else { payload };
            log.append(holdfast_audit_log::Entry { class, kind, time, payload }, &mut bytes)
                .unwrap();
        }
        let files = with(&ours, segment, |b| *b = bytes);
        let report = verify(&files, &given);
        let blamed = report.findings.iter().find(|f| matches!(f.fault, Fault::Replaced { .. }));
        let blamed = blamed.unwrap_or_else(|| panic!("{segment}: {:?}", report.findings));
        assert!((blamed.first..=blamed.last).contains(&(first + 2)), "{segment}: {blamed:?}");
        assert!(blamed.last < first + 6 && blamed.first + 2 >= first, "{segment}: {blamed:?}");
        // Of another log of the same name: its header alone disagrees with what is before.
        let theirs = log_of_same_name_and_key();
        let files = with(&ours, segment, |b| b.clone_from(&theirs.files[segment].1));
        let report = verify(&files, &given);
        let named: Vec<_> = report.findings.iter().flat_map(|f| f.first..=f.last).collect();
        assert!(named.contains(&first), "{segment}: {:?}", report.findings);
        assert!(!report.is_good());
    }
}

fn log_of_same_name_and_key() -> Writer {
    let mut writer = Writer::new(origin(), 1);
    for segment in 0..3 {
        if segment > 0 {
            writer.open_segment();
        }
        for record in 0..6 {
            let payload = format!("other {segment} {record}");
            writer.append(
                holdfast_audit_log::frame::Class::Kernel,
                holdfast_audit_log::frame::Kind::Loss,
                payload.as_bytes(),
            );
        }
    }
    writer
}

#[test]
fn a_log_put_back_to_an_older_state_is_rolled_back() {
    let mut writer = ours();
    let old = writer.files.clone();
    writer.records(3);
    let report = verify(&old, &[writer.checkpoint()]);
    assert_eq!(faults(&report), [fault("rolled-back", 18..=20)]);
    assert_eq!(report.findings[0].place, "given-0");
    // And then continued: a fork.
    let mut fork = log(origin(), 1);
    fork.append(
        holdfast_audit_log::frame::Class::System,
        holdfast_audit_log::frame::Kind::Loss,
        b"after",
    );
    fork.records(4);
    let report = verify(&fork.files, &[writer.checkpoint()]);
    assert_eq!(faults(&report), [fault("replaced", 16..=20)]);
}

#[test]
fn checkpoints_of_others_are_refused() {
    let writer = ours();
    let stranger = log(origin(), 2);
    let report = verify(&writer.files, &[stranger.checkpoint()]);
    assert_eq!(faults(&report), [fault("checkpoint", 17..=17)]);
    let report = verify(&stranger.files, &[]);
    let expected: Vec<_> = [4, 10, 16].map(|r| fault("checkpoint", r..=r)).into();
    assert_eq!(faults(&report), expected);
    assert_eq!(report.signed_size, None);
}

#[test]
fn without_a_key_the_chain_still_tells() {
    let writer = ours();
    let verify = |files: &[File]| {
        let mut verifier = Verifier::without_key(None);
        for (name, bytes) in files {
            verifier.segment(name, bytes);
        }
        verifier.finish(&[]).report
    };
    let report = verify(&writer.files);
    assert!(report.is_good(), "{:?}", report.findings);
    assert!(!report.is_signature_verified);
    assert_eq!((report.checkpoints, report.signed_size), (3, Some(16)));
    let (segment, start) = writer.places[7];
    let files = with(&writer, segment, |b| forge(b, start..writer.end_of(7), 70));
    assert_eq!(faults(&verify(&files)), [fault("altered", 7..=7)]);
    // A log of the same name by another key is nothing that it could notice.
    assert!(verify(&log(origin(), 2).files).is_good());
}

#[test]
fn frames_without_headers_are_a_log_too() {
    let writer = ours();
    let headless: Vec<File> = writer
        .files
        .iter()
        .map(|(name, bytes)| {
            let header = SegmentHeader::decode(bytes).unwrap().encoded_len();
            (name.clone(), bytes[header..].to_vec())
        })
        .collect();
    let verify = |files: &[File]| {
        let mut verifier = Verifier::new(common::Signer::new(1).audit_key(), Some(origin()));
        let mut seen = Vec::new();
        for (name, bytes) in files {
            verifier.frames_with(name, bytes, |decoded, hash| {
                assert_eq!(decoded.hash(), hash);
                seen.push(decoded.frame.sequence);
            });
        }
        (verifier.finish(&[]).report, seen)
    };
    let (report, seen) = verify(&headless);
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.size, report.signed_size), (18, Some(16)));
    assert_eq!(seen, (0..18).collect::<Vec<_>>());
    let (report, seen) = verify(&headless[1..]);
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.first, report.signed_size, report.root), (6, None, None));
    assert_eq!(seen.len(), 12);
    let mut flipped = headless.clone();
    flipped[1].1[0] ^= 1;
    let (report, seen) = verify(&flipped);
    assert_eq!(faults(&report), [fault("damaged", 6..=6)]);
    assert_eq!(seen.len(), 17);
}

#[test]
fn what_another_party_signed_counts_as_a_checkpoint() {
    let writer = ours();
    let checkpoint = writer.log.checkpoint(None);
    let state = State { size: checkpoint.size, root: checkpoint.root, head: checkpoint.head };
    let verify = |files: &[File], state| {
        let mut verifier = Verifier::new(common::Signer::new(1).audit_key(), None);
        for (name, bytes) in files {
            verifier.segment(name, bytes);
        }
        verifier.vouched("receipt", state);
        verifier.finish(&[]).report
    };
    let report = verify(&writer.files, state);
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.checkpoints, report.signed_size), (4, Some(18)));
    let report = verify(&writer.files[..2], state);
    assert_eq!(faults(&report), [fault("rolled-back", 12..=17)]);
    assert_eq!(report.findings[0].place, "receipt");
    // The last record is covered by nothing else.
    let (segment, start) = writer.places[17];
    let files = with(&writer, segment, |b| forge(b, start..writer.end_of(17), 70));
    assert_eq!(faults(&verify(&files, state)), [fault("replaced", 16..=17)]);
}
