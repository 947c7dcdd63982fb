use std::fs;
use std::path::{Path, PathBuf};

use super::{Gpt, NewPartition, types};
use crate::Disk;

const SIZE: u64 = 64 << 20;

fn blank(folder: &Path) -> PathBuf {
    let path = folder.join("disk.raw");
    Disk::blank(&path, SIZE).unwrap();
    path
}

fn three_partitions(path: &Path) -> Gpt {
    let new = |label, type_id, size| NewPartition { label, type_id, size };
    let partitions = [
        new("esp", types::ESP, 8 << 20),
        new("holdfast_0.1.0", types::ROOT_X86_64, (1 << 20) + 100),
        new("var", types::VAR, 0),
    ];
    Gpt::create(path, &partitions).unwrap()
}

#[test]
fn what_is_created_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = blank(folder.path());
    let created = three_partitions(&path);
    let read = Gpt::read(&path).unwrap();
    assert_eq!(created, read);
    let root = read.by_label("holdfast_0.1.0").unwrap();
    assert_eq!((root.offset, root.size), (9 << 20, (1 << 20) + 512));
    let var = read.by_type(types::VAR).unwrap();
    assert_eq!((var.index, var.offset), (2, 11 << 20));
    assert_eq!(var.range().end, SIZE - 33 * 512);
    assert!(read.by_label("swap").is_none());
}

#[test]
fn sfdisk_agrees() {
    let Some(sfdisk) = crate::process::find_program("sfdisk") else {
        crate::testing::left_out("sfdisk (package fdisk) is not on this machine");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = blank(folder.path());
    let mut gpt = three_partitions(&path);
    gpt.partition_mut("var").unwrap().label = "data 2".into();
    gpt.write().unwrap();
    let verified = std::process::Command::new(&sfdisk).arg("--verify").arg(&path).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let dump = std::process::Command::new(&sfdisk).arg("--json").arg(&path).output().unwrap();
    let dump: serde_json::Value = serde_json::from_slice(&dump.stdout).unwrap();
    let table = &dump["partitiontable"];
    assert_eq!(table["label"], "gpt");
    let found = &table["partitions"][2];
    assert_eq!((found["name"].as_str(), found["start"].as_u64()), (Some("data 2"), Some(22528)));
    assert_eq!(found["type"], types::VAR.to_string().to_uppercase());
}

#[test]
fn a_label_can_be_changed_and_a_partition_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = blank(folder.path());
    let mut gpt = three_partitions(&path);
    "other".clone_into(&mut gpt.partition_mut("var").unwrap().label);
    assert!(gpt.remove("esp"));
    assert!(!gpt.remove("esp"));
    gpt.write().unwrap();
    let disk = Disk::open(&path).unwrap();
    assert_eq!(disk.partition("other").unwrap().type_id, types::VAR);
    let error = disk.partition("var").unwrap_err().to_string();
    assert!(error.contains(r#"["holdfast_0.1.0", "other"]"#), "{error}");
    gpt.partition_mut("other").unwrap().label = "x".repeat(37);
    assert!(gpt.write().is_err());
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = blank(folder.path());
    three_partitions(&path);
    let disk = Disk::open(&path).unwrap();
    let table: [(&str, u64); 4] = [
        ("no GUID partition table", 512),
        ("wrong checksum of the partition table header", 512 + 60),
        ("unknown size", 512 + 12),
        ("wrong checksum of the partition entries", 1024 + 60),
    ];
    for (reason, offset) in table {
        disk.flip_byte(offset).unwrap();
        let error = Gpt::read(&path).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        disk.flip_byte(offset).unwrap();
        assert!(Gpt::read(&path).is_ok());
    }
    fs::write(&path, b"short").unwrap();
    assert!(Gpt::read(&path).is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = blank(folder.path());
    let huge = NewPartition { label: "huge", type_id: types::LINUX, size: SIZE };
    let error = Gpt::create(&path, &[huge]).unwrap_err().to_string();
    assert!(error.contains("no room for partition \"huge\""), "{error}");
}
