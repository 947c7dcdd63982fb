//! The program on files that stand for disks.

// Helpers outside of #[test] functions fail tests by panicking too.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fatfs::{FileSystem, FsOptions};
use holdfast_attestation::pairing::PairingCode;
use holdfast_disk::{BLOCK, Gpt, Guid, Partition, types};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
const IMAGE: u64 = 48 * MIB;
const DISK: u64 = IMAGE + 512 * MIB;
const ESP: u64 = MIB;
const ESP_SIZE: u64 = 40 * MIB;
const SITE: &str = include_str!("../../../lib/site/tests/data/valid.toml");

struct Bench(TempDir);

fn partition(number: u32, kind: Guid, start: u64, size: u64, label: &str) -> Partition {
    Partition {
        number,
        kind,
        uuid: Guid::from_u128(u128::from(number)),
        first: start / BLOCK,
        last: (start + size) / BLOCK - 1,
        attributes: 0,
        label: label.to_owned(),
    }
}

impl Bench {
    /// An image with what the installer looks at, a disk full of something else, and a site.
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        let partitions = vec![
            partition(1, types::ESP, ESP, ESP_SIZE, "esp"),
            partition(2, types::ROOT, 41 * MIB, 4 * MIB, "holdfast_0.1.0"),
            partition(3, types::ROOT_VERITY_SIG, 45 * MIB, MIB, "holdfast_0.1.0"),
        ];
        let table = Gpt { disk: Guid::from_u128(7), partitions };
        let (start, end) = table.write(IMAGE / BLOCK).unwrap();
        let mut image = File::create_new(bench.path("disk.raw")).unwrap();
        image.set_len(IMAGE).unwrap();
        image.write_all(&start).unwrap();
        image.seek(SeekFrom::End(-i64::try_from(end.len()).unwrap())).unwrap();
        image.write_all(&end).unwrap();
        let mut esp = std::io::Cursor::new(vec![0; usize::try_from(ESP_SIZE).unwrap()]);
        let options = fatfs::FormatVolumeOptions::new()
            .fat_type(fatfs::FatType::Fat32)
            .bytes_per_cluster(512);
        fatfs::format_volume(&mut esp, options).unwrap();
        image.seek(SeekFrom::Start(ESP)).unwrap();
        image.write_all(esp.get_ref()).unwrap();
        image.seek(SeekFrom::Start(41 * MIB)).unwrap();
        image.write_all(&vec![0x5a; 4 << 20]).unwrap();

        let mut disk = File::create_new(bench.path("disk")).unwrap();
        disk.set_len(DISK).unwrap();
        disk.write_all(&vec![0xee; 64 << 20]).unwrap();
        disk.seek(SeekFrom::End(-4096)).unwrap();
        disk.write_all(&[0xee; 4096]).unwrap();
        fs::write(bench.path("site.toml"), SITE).unwrap();
        fs::write(bench.path("site.toml.sig"), [1; 70]).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-install"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// It must refuse with this status and leave the disk as it was.
    fn refuses(&self, arguments: &[&str], status: i32, why: &str) {
        let before = head(&self.path("disk"));
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
        assert!(head(&self.path("disk")) == before, "{arguments:?} changed the disk");
    }
}

fn head(disk: &Path) -> Vec<u8> {
    read(disk, 0, 64 * MIB)
}

fn read(file: &Path, offset: u64, length: u64) -> Vec<u8> {
    let mut file = File::open(file).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_image_and_the_site_are_on_the_disk_and_nothing_else() {
    let bench = Bench::new();
    let output = bench.run(&["--site", "site.toml", "--yes", "--json", "disk"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome["release"], "holdfast_0.1.0");
    assert_eq!((&outcome["written"], &outcome["site_verified"]), (&true.into(), &false.into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("reading back 100 %"));

    let (image, disk) = (bench.path("disk.raw"), bench.path("disk"));
    for (offset, length) in [(0, ESP), (41 * MIB, IMAGE - 41 * MIB)] {
        assert!(read(&disk, offset, length) == read(&image, offset, length), "at {offset}");
    }
    // What was there before is gone where a table or a volume could be found.
    assert!(read(&disk, IMAGE, MIB).iter().all(|&byte| byte == 0));
    assert!(read(&disk, DISK - MIB, MIB).iter().all(|&byte| byte == 0));

    let esp = std::io::Cursor::new(read(&disk, ESP, ESP_SIZE));
    let files = FileSystem::new(esp, FsOptions::new()).unwrap();
    let mut text = String::new();
    let folder = files.root_dir().open_dir("holdfast").unwrap();
    folder.open_file("site.toml").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, SITE);
    let signature = folder.iter().map(Result::unwrap).find(|e| e.file_name() == "site.toml.sig");
    assert_eq!(signature.unwrap().len(), 70);

    // With the code by which the device is registered.
    let code = PairingCode::new([3; 16]).to_string();
    fs::write(bench.path("code"), code.to_lowercase()).unwrap();
    let output = bench.run(&["--site", "site.toml", "--pairing-code", "code", "--yes", "disk"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&code), "the code is a secret");
    let esp = std::io::Cursor::new(read(&disk, ESP, ESP_SIZE));
    let files = FileSystem::new(esp, FsOptions::new()).unwrap();
    let mut text = String::new();
    let mut file = files.root_dir().open_file("holdfast/pairing-code").unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("{code}\n"));

    // Again, without a site: as a second installation would be.
    assert!(bench.run(&["--yes", "disk"]).status.success());
    assert!(read(&disk, 0, IMAGE) == read(&image, 0, IMAGE));
}

#[test]
fn what_cannot_be_installed_changes_nothing() {
    let bench = Bench::new();
    let file = |name: &str, content: &[u8]| fs::write(bench.path(name), content).unwrap();
    file("empty.raw", b"");
    file("zeros.raw", &vec![0; 1 << 20]);
    file("cut.raw", &read(&bench.path("disk.raw"), 0, 44 * MIB));
    file("small", &vec![0; 4096]);
    file("unsigned.toml", SITE.as_bytes());
    file("bad.toml", b"format = 9\n");
    file("bad.toml.sig", &[1; 70]);
    file("key.pem", b"no key");
    for (arguments, status, why) in [
        (&["--image", "nothing.raw", "--yes", "disk"][..], 1, "nothing.raw"),
        (&["--image", "empty.raw", "--yes", "disk"], 3, "empty.raw is no Holdfast disk image"),
        (&["--image", "zeros.raw", "--yes", "disk"], 3, "signature of a GUID partition table"),
        (&["--image", "cut.raw", "--yes", "disk"], 3, "cut short within partition 2"),
        (&["--yes", "small"], 3, "small has 0 MiB, the image and its state volume need 560 MiB"),
        (&["--yes", "missing"], 1, "cannot open missing"),
        (&["--yes", "/dev/null"], 1, "neither a block device nor a file"),
        (&["--site", "unsigned.toml", "--yes", "disk"], 1, "unsigned.toml.sig"),
        (&["--site", "bad.toml", "--yes", "disk"], 3, "bad.toml: "),
        (&["--site", "site.toml", "--site-key", "key.pem", "--yes", "disk"], 3, "site.toml: "),
        (&["--site-key", "key.pem", "--yes", "disk"], 2, "--site"),
        (&["--pairing-code", "key.pem", "--yes", "disk"], 2, "--site"),
        (
            &["--site", "site.toml", "--pairing-code", "key.pem", "--yes", "disk"],
            3,
            "key.pem: a pairing code has 28",
        ),
        (
            &["--site", "site.toml", "--transfer", "key.pem", "--yes", "disk"],
            3,
            "key.pem: site.transfer: ",
        ),
        (&["--dry-run"], 2, "<DISK>"),
    ] {
        bench.refuses(arguments, status, why);
    }
    let tried = bench.run(&["--dry-run", "--site", "site.toml", "disk"]);
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(said.contains("holdfast_0.1.0 fits onto disk, tenant "), "{said}");
    assert_eq!(head(&bench.path("disk"))[..4], [0xee; 4]);
}

#[test]
fn the_disk_is_erased_only_when_its_name_was_typed() {
    let bench = Bench::new();
    for (typed, is_meant) in [("", false), ("y\n", false), ("disk2\n", false), ("disk\n", true)] {
        let mut process = bench
            .command(&["disk"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Taken and dropped: what is typed ends.
        process.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let status = process.wait().unwrap().code();
        assert_eq!(status, Some(if is_meant { 0 } else { 2 }), "{typed:?}");
        assert_eq!(head(&bench.path("disk"))[512..520] == *b"EFI PART", is_meant, "{typed:?}");
    }
}
