use std::path::Path;

use super::Esp;
use crate::gpt::{Gpt, NewPartition};
use crate::{Disk, partition_types};

/// A disk with an EFI system partition between two others.
fn disk(folder: &Path, megabytes: u64) -> Disk {
    let disk = Disk::blank(&folder.join("disk.raw"), (megabytes + 8) << 20).unwrap();
    let new = |label, type_id, size| NewPartition { label, type_id, size };
    let partitions = [
        new("before", partition_types::LINUX, 1 << 20),
        new("esp", partition_types::ESP, megabytes << 20),
        new("after", partition_types::VAR, 1 << 20),
    ];
    Gpt::create(disk.path(), &partitions).unwrap();
    let esp = disk.partition("esp").unwrap();
    Esp::format(disk.path(), esp.range()).unwrap().close().unwrap();
    disk
}

#[test]
fn files_are_read_back_from_fat_of_every_size() {
    for megabytes in [4, 40, 512] {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(folder.path(), megabytes);
        let kernel: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let esp = disk.esp().unwrap();
        esp.write("holdfast/site.toml", b"format = 1\n").unwrap();
        esp.write("EFI/Linux/holdfast_0.1.0+3.efi", &kernel).unwrap();
        esp.close().unwrap();
        let esp = disk.esp().unwrap();
        assert_eq!(esp.read("holdfast/site.toml").unwrap(), b"format = 1\n");
        assert!(esp.read("efi/LINUX/holdfast_0.1.0+3.EFI").unwrap() == kernel);
        assert_eq!(esp.list("").unwrap(), ["EFI", "holdfast"]);
        assert_eq!(esp.only_kernel_image("EFI/Linux").unwrap(), "EFI/Linux/holdfast_0.1.0+3.efi");
        for (label, zeroes) in [("before", vec![0; 1 << 20]), ("after", vec![0; 1 << 20])] {
            let partition = disk.partition(label).unwrap();
            assert!(disk.read(partition.offset, 1 << 20).unwrap() == zeroes, "{label} was changed");
        }
    }
}

#[test]
fn files_can_be_replaced_renamed_damaged_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 16);
    let esp = disk.esp().unwrap();
    esp.write("a/long", &vec![7; 100_000]).unwrap();
    esp.write("a/long", b"short").unwrap();
    esp.flip_byte("a/long", 1).unwrap();
    esp.rename("a/long", "b/c/moved file").unwrap();
    assert!(!esp.contains("a/long"));
    assert!(esp.contains("b/c") && esp.contains("b/c/moved file"));
    assert_eq!(esp.read("b/c/moved file").unwrap(), [b's', !b'h', b'o', b'r', b't']);
    esp.remove("b/c/moved file").unwrap();
    assert_eq!(esp.list("b/c").unwrap(), Vec::<String>::new());
    let error = esp.read("b/c/moved file").unwrap_err().to_string();
    assert!(error.contains("disk.raw/b/c/moved file"), "{error}");
    esp.write("one.efi", b"").unwrap();
    esp.write("two.efi", b"").unwrap();
    assert!(esp.only_kernel_image("").is_err());
}

#[test]
fn mtools_agrees() {
    let Some(mtype) = crate::process::find_program("mtype") else {
        crate::testing::left_out("mtype (package mtools) is not on this machine");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 64);
    let esp = disk.esp().unwrap();
    esp.write("holdfast/site.toml.sig", b"signature").unwrap();
    esp.close().unwrap();
    let offset = disk.partition("esp").unwrap().offset;
    let output = std::process::Command::new(mtype)
        .arg("-i")
        .arg(format!("{}@@{offset}", disk.path().display()))
        .arg("::holdfast/site.toml.sig")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"signature", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_disk_without_the_partition_or_the_file_system_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::blank(&folder.path().join("disk.raw"), 8 << 20).unwrap();
    assert!(disk.esp().unwrap_err().to_string().contains("no GUID partition table"));
    let esp = NewPartition { label: "esp", type_id: partition_types::ESP, size: 0 };
    Gpt::create(disk.path(), &[NewPartition { type_id: partition_types::LINUX, ..esp }]).unwrap();
    assert!(disk.esp().unwrap_err().to_string().contains("no EFI system partition"));
    Gpt::create(disk.path(), &[esp]).unwrap();
    assert!(disk.esp().unwrap_err().to_string().contains("cannot open the FAT file system in"));
}
