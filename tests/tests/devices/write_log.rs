//! Power cuts at every kind of moment of a first boot, from the log of what it wrote: no boot is
//! needed to see that each leaves a disk with which the next boot can go on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use holdfast_qemu::nbd::{EventKind, Recording};
use holdfast_qemu::{Disk, Esp, Partition, PowerCutPlan, Rng, nbd, partition_types};
use serde_json::Value;

use crate::first_boot;
use crate::support::foreign_volume::LABEL;
use crate::support::gpt::read_or_restore;
use crate::support::tools::{inside_tree, run};
use crate::support::trial::{Outcome, trial};

const CUTS: usize = 100;
/// LUKS2 headers and key slots, in front of the data.
const HEADER: usize = 16 << 20;

#[test]
fn a_hundred_power_cuts_of_the_write_log_leave_a_disk_that_boots_on() -> Outcome {
    trial("a_hundred_power_cuts_of_the_write_log_leave_a_disk_that_boots_on", |trial| {
        let first = first_boot::stage(&trial.workshop)?;
        let base = first.file("before.raw");
        let log = first.file("writes.log");
        let whole = Disk::open(&first.file("device/disk.raw"))?;
        let volume = whole.partition(LABEL)?;
        let complete_slot =
            tpm_key_slot(&whole.read(volume.offset, HEADER)?, &trial.folder).context("the end")?;
        let before = Disk::open(&base)?.gpt()?;
        let loader = whole.partition("esp")?;
        let kernel = trial.workshop.image("release", "holdfast.efi");
        let kernel = fs::read(&kernel).with_context(|| kernel.display().to_string())?;

        let seed = PowerCutPlan::seed()?;
        let mut rng = Rng::new(seed);
        let positions = choose(&log, &mut rng, &[&loader, &volume], whole.size()?)?;
        let mut replay = nbd::Replay::open(&base, &log)?;
        let mut with_volume = 0;
        let cut = trial.folder.join("cut.raw");
        for position in positions {
            ensure!(replay.advance_to(position)?, "the log ends before event {position}");
            let (disk, report) = replay.save_cut(&cut, &mut rng)?;
            let what =
                || format!("cut after event {position} ({report}; HOLDFAST_POWER_SEED={seed:#x})");
            let table = read_or_restore(&disk).with_context(what)?;
            for partition in before.partitions() {
                let same = table.partitions().find(|p| p.index == partition.index);
                ensure!(same == Some(partition), "{}: {partition:?} became {same:?}", what());
            }
            ensure!(starts(&disk, &loader, &kernel).with_context(what)?, "{}: no UKI", what());
            let volumes: Vec<_> =
                table.partitions().filter(|p| p.type_id == partition_types::VAR).collect();
            ensure!(volumes.len() <= 1, "{}: {volumes:?}", what());
            if let Some(found) = volumes.first() {
                with_volume += 1;
                ensure!(**found == volume, "{}: {found:?}", what());
                let header = disk.read(found.offset, HEADER)?;
                let slot = tpm_key_slot(&header, &trial.folder).with_context(what)?;
                // A torn key slot would not show in the header, but in a volume that never opens.
                // The rest may change: the recovery key comes later.
                ensure!(slot == complete_slot, "{}: the TPM's key slot is not complete", what());
            }
        }
        println!("{with_volume} of {CUTS} cuts left a disk with a state volume");
        ensure!((1..CUTS).contains(&with_volume), "all cuts were on one side: {with_volume}");
        Ok(())
    })
}

/// True if the boot loader finds the whole kernel image, whatever its name is.
fn starts(disk: &Disk, loader: &Partition, kernel: &[u8]) -> Result<bool> {
    let esp = Esp::open(disk.path(), loader.offset..loader.offset + loader.size)?;
    for name in esp.list("EFI/Linux")? {
        let is_one = name.to_ascii_lowercase().ends_with(".efi");
        if is_one && esp.read(&format!("EFI/Linux/{name}"))? == kernel {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Positions in the log in order: half of them anywhere, half after writes to partition tables, the
/// boot partition or the volume's header, where a cut hurts most.
fn choose(log: &Path, rng: &mut Rng, parts: &[&Partition; 2], size: u64) -> Result<Vec<u64>> {
    const TABLE: u64 = 1 << 20;
    let [loader, volume] = parts;
    let delicate = |offset: u64| {
        offset < TABLE
            || offset >= size - TABLE
            || (loader.offset..loader.offset + loader.size).contains(&offset)
            || (volume.offset..volume.offset + HEADER as u64).contains(&offset)
    };
    let mut recording = Recording::open(log)?;
    let (mut count, mut delicate_ones) = (0, Vec::new());
    while let Some(event) = recording.next_event()? {
        count += 1;
        if event.kind != EventKind::Flush && delicate(event.offset) {
            delicate_ones.push(count);
        }
    }
    ensure!(!delicate_ones.is_empty(), "the first boot made no partition");
    let mut positions: Vec<u64> = (0..CUTS / 2).map(|_| 1 + rng.below(count)).collect();
    while positions.len() < CUTS {
        let index = usize::try_from(rng.below(delicate_ones.len() as u64))?;
        positions.push(delicate_ones[index]);
    }
    positions.sort_unstable();
    Ok(positions)
}

/// The area of the key slot that the TPM opens. cryptsetup must be able to read the header.
fn tpm_key_slot(header: &[u8], folder: &Path) -> Result<Vec<u8>> {
    let file = folder.canonicalize()?.join("header.raw");
    fs::write(&file, header)?;
    let printed = run(inside_tree("cryptsetup")
        .args(["luksDump", "--disable-locks", "--dump-json-metadata"])
        .arg(&file))?;
    let metadata: Value = serde_json::from_slice(&printed)?;
    let tokens = metadata["tokens"].as_object().context("the header has no tokens")?;
    let token = tokens.values().find(|token| token["type"] == "systemd-tpm2");
    let token = token.with_context(|| format!("no key for a TPM in {metadata}"))?;
    let slot = token["keyslots"][0].as_str().context("the TPM's token names no key slot")?;
    let area = &metadata["keyslots"][slot]["area"];
    let number = |name: &str| -> Result<usize> {
        let text = area[name].as_str().with_context(|| format!("no {name} in {area}"))?;
        Ok(text.parse()?)
    };
    let (offset, size) = (number("offset")?, number("size")?);
    let content = header.get(offset..offset + size);
    Ok(content.context("the key slot is not in the header")?.to_vec())
}
