use super::*;
use crate::certificate::samples;
use crate::disk::Folder;
use crate::disk::simulated::{SimulatedDisk, Unsynced};

fn sample_spki(key: &str) -> Result<Vec<u8>, String> {
    let name = key.strip_prefix("key:").ok_or("not a key")?;
    Ok(samples::spki(name.as_bytes()))
}

fn store(disk: &SimulatedDisk) -> Store {
    Store::new(Box::new(disk.clone()), sample_spki)
}

fn pin() -> Pin {
    Pin {
        tenant: "demo".into(),
        anchors_sha256: vec!["aa".into()],
        site_sha256: "bb".into(),
        ek_sha256: "cc".into(),
    }
}

fn enrol(store: &mut Store, key: &str) -> Result<(), StoreError> {
    store.put_pending_key(&format!("key:{key}"))?;
    store.put_pin(&pin())?;
    store.put_pending_certificate(&samples::chain("device", key.as_bytes()))?;
    store.promote()
}

/// The writes of a whole life: keys, first enrolment, an abandoned one, a second one.
fn life(store: &mut Store) -> Result<(), StoreError> {
    store.put_ak("key:ak")?;
    store.put_audit_key("key:audit")?;
    enrol(store, "first")?;
    store.put_last_seen(1_800_000_000)?;
    store.put_pending_key("key:abandoned")?;
    store.put_pending_certificate(&samples::chain("device", b"abandoned"))?;
    store.discard_pending()?;
    enrol(store, "second")
}

fn active_key(held: &Held) -> Option<&str> {
    held.active.as_ref().map(|identity| identity.key.as_str())
}

#[test]
fn a_whole_life_ends_with_one_identity() {
    let disk = SimulatedDisk::default();
    let mut store = store(&disk);
    assert_eq!(store.load().unwrap(), Held::default());
    life(&mut store).unwrap();
    let held = store.load().unwrap();
    assert_eq!(active_key(&held), Some("key:second"));
    assert_eq!(held.pending, None);
    assert_eq!(held.ak.as_deref(), Some("key:ak"));
    assert_eq!(held.audit_key.as_deref(), Some("key:audit"));
    assert_eq!(held.pin, Some(pin()));
    assert_eq!(held.last_seen, Some(1_800_000_000));
    assert!(held.repairs.is_empty());
    let public = String::from_utf8(disk.read(DEVICE_PUBLIC).unwrap().unwrap()).unwrap();
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"));
}

/// What any load after any cut must show.
fn check(held: &Held, first_was_active: bool, shown: &str) {
    if let Some(identity) = &held.active {
        assert_eq!(sample_spki(&identity.key).unwrap(), identity.chain.spki().unwrap(), "{shown}");
        assert!(held.pin.is_some(), "{shown}: identity without pin");
    }
    if first_was_active {
        assert!(held.active.is_some(), "{shown}: lost the identity");
    }
    if let Some(Pending { key, chain: Some(chain) }) = &held.pending {
        assert_eq!(sample_spki(key).unwrap(), chain.spki().unwrap(), "{shown}");
        assert_ne!(active_key(held), Some(key.as_str()), "{shown}: one key twice");
    }
}

#[test]
fn a_power_cut_between_any_two_operations_leaves_one_identity() {
    let whole = SimulatedDisk::default();
    life(&mut store(&whole)).unwrap();
    let until_first_is_active = {
        let disk = SimulatedDisk::default();
        let mut store = store(&disk);
        store.put_ak("key:ak").unwrap();
        store.put_audit_key("key:audit").unwrap();
        enrol(&mut store, "first").unwrap();
        disk.operations()
    };
    assert!(whole.operations() > 60, "{}", whole.operations());

    for cut in 0..whole.operations() {
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn] {
            let shown = format!("cut after {cut} operations, unsynced data {unsynced:?}");
            let disk = SimulatedDisk::default();
            disk.cut_power_after(cut);
            life(&mut store(&disk)).unwrap_err();

            let found = disk.after_cut(unsynced);
            let mut reloaded = store(&found);
            let held = reloaded.load().unwrap_or_else(|error| panic!("{shown}: {error}"));
            check(&held, cut >= until_first_is_active, &shown);

            let again = reloaded.load().unwrap();
            assert!(again.repairs.is_empty(), "{shown}: {:?}", again.repairs);
            assert_eq!(Held { repairs: Vec::new(), ..held }, again, "{shown}");

            life(&mut reloaded).unwrap();
            assert_eq!(active_key(&reloaded.load().unwrap()), Some("key:second"), "{shown}");
        }
    }
}

#[test]
fn a_power_cut_during_the_repair_is_repaired_too() {
    let promoted_halfway = || {
        let disk = SimulatedDisk::default();
        let mut store = store(&disk);
        store.put_pending_key("key:first").unwrap();
        store.put_pin(&pin()).unwrap();
        store.put_pending_certificate(&samples::chain("device", b"first")).unwrap();
        disk.cut_power_after(disk_operations_of_half_a_promotion());
        store.promote().unwrap_err();
        disk.after_cut(Unsynced::Lost)
    };
    for cut in 0.. {
        let disk = promoted_halfway();
        disk.cut_power_after(cut);
        let finished = store(&disk).load().is_ok();
        let held = store(&disk.after_cut(Unsynced::Lost)).load().unwrap();
        assert_eq!(active_key(&held), Some("key:first"), "cut after {cut}");
        if finished {
            assert!(cut > 2, "the repair wrote nothing");
            break;
        }
    }
}

const fn disk_operations_of_half_a_promotion() -> usize {
    2
}

#[test]
fn a_certificate_that_fits_no_key_is_dropped() {
    let disk = SimulatedDisk::default();
    let mut store = store(&disk);
    store.put_pending_key("key:first").unwrap();
    store.put_pending_certificate(&samples::chain("device", b"other")).unwrap();
    let held = store.load().unwrap();
    assert_eq!(held.pending, Some(Pending { key: "key:first".into(), chain: None }));
    assert_eq!(held.repairs, ["dropped a pending certificate that fits no key"]);
}

#[test]
fn damaged_files_are_named() {
    for file in [AK, AUDIT_KEY, DEVICE_KEY, PENDING_KEY, DEVICE_CERTIFICATE, PIN, LAST_SEEN] {
        let mut disk = SimulatedDisk::default();
        disk.write(file, b"\xff rubbish").unwrap();
        let error = store(&disk).load().unwrap_err();
        assert!(error.is_permanent());
        assert!(error.to_string().starts_with(&format!("{file}: ")), "{error}");
    }
}

#[test]
fn a_folder_keeps_what_it_was_given_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("enroller");
    let mut store = Store::new(Box::new(Folder::open(&path).unwrap()), sample_spki);
    life(&mut store).unwrap();
    std::fs::write(path.join(".new-ak.tss"), "left over").unwrap();
    let held = store.load().unwrap();
    assert_eq!(active_key(&held), Some("key:second"));
    assert!(!path.join(".new-ak.tss").exists());
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(DEVICE_KEY)), 0o600);
}
