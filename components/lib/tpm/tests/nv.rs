//! Non-volatile indices.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;

use holdfast_tpm::swtpm::Swtpm;
use tempfile::TempDir;

mod support;
use support::{run, try_run};

const FLOOR: u32 = 0x0180_0f0d;

#[test]
fn number_survives_power_cycles() {
    let mut swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    assert_eq!(tpm.nv_read_u64(FLOOR).unwrap(), None);
    tpm.nv_define_u64(FLOOR).unwrap();
    assert_eq!(tpm.nv_read_u64(FLOOR).unwrap(), None, "defined but never written");
    for value in [0, 7, u64::MAX] {
        tpm.nv_write_u64(FLOOR, value).unwrap();
        assert_eq!(tpm.nv_read_u64(FLOOR).unwrap(), Some(value));
    }
    drop(tpm);
    swtpm.power_cycle().unwrap();
    let tpm = swtpm.open().unwrap();
    assert_eq!(tpm.nv_read_u64(FLOOR).unwrap(), Some(u64::MAX));
    tpm.nv_undefine(FLOOR).unwrap();
    assert_eq!(tpm.nv_read_u64(FLOOR).unwrap(), None);
}

#[test]
fn errors_name_the_index() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    tpm.nv_define(FLOOR, 3).unwrap();
    tpm.nv_write(FLOOR, b"abc").unwrap();
    let errors = [
        tpm.nv_define_u64(FLOOR).unwrap_err(),
        tpm.nv_read_u64(FLOOR).unwrap_err(),
        tpm.nv_write_u64(FLOOR, 1).unwrap_err(),
        tpm.nv_write(0x0180_0f0d, b"four").unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("NV index 0x01800f0d"), "{error}");
    }
    let error = tpm.nv_write_u64(0x0180_0f0e, 1).unwrap_err();
    assert!(error.to_string().contains("0x01800f0e"), "{error}");
}

#[test]
fn long_values_are_transferred_in_parts() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let value: Vec<u8> = (0..2000_u16).map(|n| n.to_le_bytes()[0]).collect();
    tpm.nv_define(FLOOR, value.len()).unwrap();
    tpm.nv_write(FLOOR, &value).unwrap();
    assert_eq!(tpm.nv_read(FLOOR).unwrap(), Some(value));
}

#[test]
fn everybody_reads_but_only_the_owner_writes() {
    let swtpm = Swtpm::blank().unwrap();
    {
        let tpm = swtpm.open().unwrap();
        tpm.nv_define_u64(FLOOR).unwrap();
        tpm.nv_write_u64(FLOOR, 0x0102).unwrap();
    }
    let folder = TempDir::new().unwrap();
    let tcti = swtpm.tcti();
    let index = "0x01800f0d";
    run(folder.path(), Some(&tcti), "tpm2_changeauth -c owner secret");
    let read = run(folder.path(), Some(&tcti), &format!("tpm2_nvread -C {index} {index}"));
    assert_eq!(read, [0, 0, 0, 0, 0, 0, 1, 2]);
    let tpm = swtpm.open().unwrap();
    assert_eq!(tpm.nv_read_u64(FLOOR).unwrap(), Some(0x0102));
    tpm.nv_write_u64(FLOOR, 1).unwrap_err();
    drop(tpm);
    fs::write(folder.path().join("new"), [0; 8]).unwrap();
    let write = format!("tpm2_nvwrite -C {index} -i new {index}");
    let complaint = try_run(folder.path(), Some(&tcti), &write).unwrap_err();
    assert!(complaint.contains("0x12F"), "TPM_RC_AUTH_UNAVAILABLE expected: {complaint}");
}
