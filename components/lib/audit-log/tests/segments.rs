//! Segments: reading, and repair of the last one after a power cut.

mod common;

use common::{Writer, origin};
use holdfast_audit_log::frame::{Frame, FrameError};
use holdfast_audit_log::segment::{FrameFault, SegmentError, SegmentHeader, SegmentReader};
use holdfast_audit_log::{Appender, Hash};

#[test]
fn header_comes_back_as_it_was() {
    let mut writer = Writer::new(origin(), 1);
    for _ in 0..20 {
        let header = writer.log.segment_header();
        let bytes = header.encode();
        assert_eq!(bytes.len(), header.encoded_len());
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        writer.records(1);
    }
}

#[test]
fn header_says_what_is_wrong() {
    let good = Writer::new(origin(), 1).files[0].1.clone();
    for cut in 0..good.len() {
        let error = SegmentHeader::decode(&good[..cut]).unwrap_err();
        assert_eq!(error, SegmentError::CutOff { found: cut });
    }
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        assert!(SegmentHeader::decode(&bad).is_err(), "byte {place}");
    }
    assert_eq!(SegmentHeader::decode(&[0; 64]), Err(SegmentError::Magic));
    let with_checksum = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good[..good.len() - 4].to_vec();
        change(&mut bytes);
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        SegmentHeader::decode(&bytes).unwrap_err().to_string()
    };
    assert!(with_checksum(&|b| b[14] = b' ').contains("byte 14: \" oldfast"));
    assert!(with_checksum(&|b| b[13] = 255).starts_with("byte 8"));
    assert!(with_checksum(&|b| b[14 + 27 + 7] = 3).contains("size 3 has 64 bytes of frontier"));
}

#[test]
fn a_log_goes_on_where_a_power_cut_left_it() {
    let mut writer = Writer::new(origin(), 1);
    writer.records(3);
    writer.open_segment();
    writer.records(4);
    let segment = &writer.files[1].1;
    let header = SegmentHeader::decode(segment).unwrap().encoded_len();
    for cut in header..=segment.len() {
        let (mut log, extent) = Appender::resume(&segment[..cut]).unwrap();
        let kept = (3..7).filter(|sequence| writer.end_of(*sequence) <= cut).count();
        assert_eq!(extent.records, kept as u64, "cut at {cut}");
        assert_eq!(log.size(), 3 + extent.records);
        let is_whole = extent.len == cut;
        assert_eq!(extent.fault.is_none(), is_whole, "cut at {cut}");
        if let Some(fault) = extent.fault {
            assert_eq!((fault.offset, fault.sequence), (extent.len, log.size()));
            assert!(matches!(fault.fault, FrameFault::Unreadable(FrameError::CutOff { .. })));
        }
        // What is appended after the repair reads as one log.
        let mut repaired = segment[..extent.len].to_vec();
        let frame = Frame::decode(&segment[header..]).unwrap().frame;
        let (class, kind, time) = (frame.class, frame.kind, frame.time);
        let entry = holdfast_audit_log::Entry { class, kind, time, payload: b"next" };
        log.append(entry, &mut repaired).unwrap();
        let (again, extent) = Appender::resume(&repaired).unwrap();
        assert_eq!((again, extent.fault), (log, None));
    }
}

#[test]
fn the_first_bad_frame_is_named() {
    let mut writer = Writer::new(origin(), 1);
    writer.records(5);
    let segment = &writer.files[0].1;
    let fault = |bytes: &[u8]| SegmentReader::new(bytes).unwrap().1.extent().fault.unwrap();
    let (_, at) = writer.places[2];
    let mut flipped = segment.clone();
    flipped[at + 70] ^= 1;
    let found = fault(&flipped);
    assert_eq!((found.sequence, found.offset), (2, at));
    assert!(found.to_string().starts_with(&format!("byte {at}, record 2: checksum")), "{found}");
    let dropped = [&segment[..at], &segment[writer.end_of(2)..]].concat();
    assert_eq!(fault(&dropped).fault, FrameFault::Sequence(3));
    let frame = Frame::decode(&segment[at..]).unwrap().frame;
    let mut forged = segment[..at].to_vec();
    Frame { previous: Hash::new([0; 32]), ..frame }.encode(&mut forged).unwrap();
    assert_eq!(fault(&forged).fault, FrameFault::Previous);
}
