//! Policies of the cloud.

use holdfast_ipc::{CallError, ErrorKind};
use holdfast_policy_document::Policy;
use holdfast_usb_rules::{Position, Rule};

use super::*;
use crate::policy::samples::Site;
use crate::sysfs::fake::Gadget;

const FIRST: &str = "allow serial \"ONE\"\n";
const SECOND: &str = "allow serial \"TWO\"\n";
const PORTS: &str = "used pci0000:00/0000:00:04.0/hs/1\nused pci0000:00/0000:00:04.0/hs/4\n";

fn give(bench: &mut Bench, site: &Site, policy: &Policy) -> Result<u64, CallError> {
    let device = site.device();
    let document = site.sign(policy);
    let judge = |document: &[u8], taken: Option<&_>| device.judge(document, taken);
    let result = bench.blocker().take_policy(document.as_bytes(), judge);
    bench.on_event();
    result
}

/// With a stick ONE at port 1 and a stick TWO at port 4, which the image's list does not name.
fn started() -> (Bench, Site) {
    let mut bench = Bench::started("");
    bench.kernel.plug("1-1", Gadget::storage("ONE"));
    bench.kernel.plug("1-4", Gadget::storage("TWO"));
    bench.on_event();
    bench.told();
    (bench, Site::found())
}

fn state_files(bench: &Bench) -> Vec<Option<Vec<u8>>> {
    let files = ["policy.jws", "policy.applied", "rules.conf", "ports.conf"];
    files.iter().map(|name| fs::read(bench.file(name)).ok()).collect()
}

#[test]
fn a_policy_is_in_force_at_once_and_after_a_restart() {
    let (mut bench, site) = started();
    assert_eq!(give(&mut bench, &site, &Site::policy(7, Some(FIRST), None)), Ok(7));
    assert!(bench.usable("1-1") && !bench.usable("1-4"));
    let second = Site::policy(9, Some(SECOND), Some(PORTS));
    assert_eq!(give(&mut bench, &site, &second), Ok(9));
    assert!(!bench.usable("1-1") && bench.usable("1-4"));
    assert_eq!(fs::read_to_string(bench.file("rules.conf")).unwrap(), SECOND);
    assert_eq!(fs::read_to_string(bench.file("ports.conf")).unwrap(), PORTS);
    bench.kill();
    bench.told();
    bench.start();
    assert!(!bench.usable("1-1") && bench.usable("1-4"));
    assert!(!bench.told().iter().any(|note| note.starts_with("usb.policy-load")));

    // What a policy does not name stays.
    assert_eq!(give(&mut bench, &site, &Site::policy(10, None, Some("used *\n"))), Ok(10));
    assert_eq!(fs::read_to_string(bench.file("rules.conf")).unwrap(), SECOND);
}

#[test]
fn a_policy_that_is_not_taken_changes_nothing() {
    let (mut bench, site) = started();
    give(&mut bench, &site, &Site::policy(7, Some(FIRST), None)).unwrap();
    let before = state_files(&bench);
    let of_another =
        Policy { device_id: "device-2".to_owned(), ..Site::policy(9, Some("allow"), None) };
    let long = "#".repeat(256 * 1024 + 1);
    let table = [
        (&site, of_another, "device_id is \"device-2\""),
        (&Site::found(), Site::policy(9, Some("allow"), None), "not believed"),
        (&site, Site::policy(6, Some("allow"), None), "version is 6, and 7 was taken"),
        (&site, Site::policy(7, Some("allow"), None), "version is 7, as that of another"),
        (&site, Site::policy(9, Some("allow\nallow x\n"), None), "rules: line 2, column 7"),
        (&site, Site::policy(9, Some("allow"), Some("open *")), "ports: line 1, column 1"),
        (&site, Site::policy(9, None, Some(&long)), "ports: 262145 bytes"),
    ];
    for (signer, policy, part) in table {
        let device = site.device();
        let document = signer.sign(&policy);
        let judge = |document: &[u8], taken: Option<&_>| device.judge(document, taken);
        let error = bench.blocker().take_policy(document.as_bytes(), judge).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgs, "{error}");
        assert!(error.message.contains(part), "{part}: {error}");
        bench.look(Scope::Everything);
        assert_eq!(state_files(&bench), before, "{part}");
        assert!(bench.usable("1-1") && !bench.usable("1-4"), "{part}");
    }
    assert_eq!(give(&mut bench, &site, &Site::policy(8, Some(SECOND), None)), Ok(8));
}

#[test]
fn the_same_policy_again_leaves_what_was_edited_since() {
    let (mut bench, site) = started();
    let first = Site::policy(7, Some("block\n"), Some("used *\n"));
    give(&mut bench, &site, &first).unwrap();
    let rule = Rule::parse(b"allow serial \"TWO\"").unwrap();
    bench.blocker().append_rule(&rule, Position::First, false).unwrap();
    bench.on_event();
    assert!(bench.usable("1-4"));
    for _ in 0..2 {
        assert_eq!(give(&mut bench, &site, &first), Ok(7));
        assert!(bench.usable("1-4"));
        bench.kill();
        bench.start();
    }
    assert_eq!(give(&mut bench, &site, &Site::policy(8, Some("block\n"), None)), Ok(8));
    assert!(!bench.usable("1-4"));
}

/// What of a policy is on disk when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    HalfOfTheDocument,
    Document,
    Rules,
    Ports,
    Digest,
}

#[test]
fn what_a_power_cut_left_undone_is_done_at_the_next_start() {
    use Written::{Digest, Document, HalfOfTheDocument, Ports, Rules};
    for written in [HalfOfTheDocument, Document, Rules, Ports, Digest] {
        let (mut bench, site) = started();
        give(&mut bench, &site, &Site::policy(7, Some(FIRST), None)).unwrap();
        let next = Site::policy(8, Some(SECOND), Some(PORTS));
        // The device's files as they are after the whole of it, but for what was not reached.
        let mut other = Bench::started("");
        give(&mut other, &site, &Site::policy(7, Some(FIRST), None)).unwrap();
        give(&mut other, &site, &next).unwrap();
        bench.kill();
        for (name, step) in [
            ("policy.jws", Document),
            ("rules.conf", Rules),
            ("ports.conf", Ports),
            ("policy.applied", Digest),
        ] {
            if written >= step {
                fs::copy(other.file(name), bench.file(name)).unwrap();
            }
        }
        if written == HalfOfTheDocument {
            let document = fs::read(other.file("policy.jws")).unwrap();
            fs::write(bench.file("policy.jws.new"), &document[..document.len() / 2]).unwrap();
        }
        bench.told();
        bench.start();
        let is_done = written >= Document;
        assert_eq!(bench.usable("1-4"), is_done, "{written:?}");
        assert_eq!(bench.usable("1-1"), !is_done, "{written:?}");
        let told = bench.told();
        let is_finished = told.iter().any(|note| note == "usb.policy-load");
        assert_eq!(is_finished, (Document..Digest).contains(&written), "{written:?}: {told:?}");
        if is_done {
            assert_eq!(state_files(&bench)[1..], state_files(&other)[1..], "{written:?}");
            assert!(give(&mut bench, &site, &Site::policy(7, Some(FIRST), None)).is_err());
        }
        assert_eq!(give(&mut bench, &site, &next), Ok(8), "{written:?}");
        assert!(bench.usable("1-4"), "{written:?}");
    }
}

#[test]
fn a_disk_that_takes_nothing_is_tried_again() {
    let (mut bench, site) = started();
    let policy = Site::policy(7, Some(SECOND), Some(PORTS));
    fs::create_dir(bench.file("policy.jws.new")).unwrap();
    let error = give(&mut bench, &site, &policy).unwrap_err();
    assert!(error.message.starts_with("nothing was changed"), "{error}");
    assert!(state_files(&bench).iter().all(Option::is_none));
    fs::remove_dir(bench.file("policy.jws.new")).unwrap();

    fs::create_dir(bench.file("ports.conf.new")).unwrap();
    let error = give(&mut bench, &site, &policy).unwrap_err();
    assert!(error.message.contains("tried again"), "{error}");
    bench.told();
    for _ in 0..2 {
        bench.look(Scope::Everything);
    }
    let failures = bench.told();
    let failures = failures.iter().filter(|note| note.starts_with("usb.policy-load failed"));
    assert_eq!(failures.count(), 1, "told once");
    fs::remove_dir(bench.file("ports.conf.new")).unwrap();
    bench.look(Scope::Everything);
    assert_eq!(bench.told().iter().filter(|note| *note == "usb.policy-load").count(), 1);
    assert!(bench.usable("1-4"));
}

#[test]
fn a_policy_that_cannot_be_read_any_more_is_told() {
    let (mut bench, site) = started();
    give(&mut bench, &site, &Site::policy(7, Some(FIRST), None)).unwrap();
    bench.kill();
    fs::write(bench.file("policy.jws"), "rubbish").unwrap();
    bench.start();
    let told = bench.told();
    let part = "policy.jws: the document cannot be taken: it has not three parts";
    let lost = told.iter().find(|note| note.starts_with("usb.policy-load failed"));
    assert!(lost.is_some_and(|note| note.contains(part)), "{told:?}");
    assert!(bench.usable("1-1"), "what was in force is");
    assert_eq!(give(&mut bench, &site, &Site::policy(8, Some(SECOND), None)), Ok(8));
}
