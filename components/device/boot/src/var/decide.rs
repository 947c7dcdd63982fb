//! What to do next about the state volume, from what is observed. Pure.

use holdfast_attestation::pcr::COMMAND_LINE_PCR;

use crate::refusal::{Reason, Refusal};

/// What is known at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The running release.
    pub security_version: u64,
    /// The least that may run, kept by the TPM.
    pub floor: Option<u64>,
    /// Whether the TPM remembers that this device has a state volume of its own.
    pub provisioned: bool,
    /// Value of PCR 12.
    pub command_line_pcr: [u8; 32],
    /// Whether this boot was signed.
    pub signature: BootSignature,
    /// Number of state partitions on the boot disk.
    pub partitions: usize,
    /// What the one partition holds.
    pub volume: Volume,
    /// Whether it was made in this run.
    pub made_now: bool,
}

/// Whether this boot was signed with the key that the image names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootSignature {
    /// Signatures of the image's key are there.
    Ours,
    /// They are not, or are of another key.
    NotOurs(String),
}

/// What a state partition holds, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// No LUKS2 header.
    Bare,
    /// A LUKS2 header.
    Luks {
        /// Whether it has a key for a TPM.
        tpm_token: bool,
    },
    /// LUKS2, and this TPM did not open it.
    DoesNotOpen(String),
    /// It opened, and the file system in it cannot be mounted.
    Unmountable(String),
    /// It is open.
    Open(Marker),
}

/// The proof that this device, booted in this way, made the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// There is none.
    Missing,
    /// There is one that proves nothing.
    Invalid(String),
    /// It holds.
    Valid,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make the state partition.
    Create,
    /// Delete the state partition and make it anew.
    Recreate,
    /// Make the TPM forget that there was a state volume: it is gone from the disk.
    Forget,
    /// Open the volume and look for its marker.
    Open,
    /// Write the marker.
    WriteMarker,
    /// Make the TPM keep a floor.
    WriteFloor,
    /// Make the TPM remember that this device has a state volume of its own.
    Provision,
}

/// How the volume came to be usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was there.
    Opened,
    /// It was made in this run.
    Created,
}

/// A step, or the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Do this and look again.
    Do(Step),
    /// Use the volume.
    Accept(Accepted),
}

/// Decides what comes next.
///
/// A volume that the device did not make is never accepted. One without a valid marker is deleted
/// only while the TPM remembers no state volume, and only if it holds nothing that another device
/// may have locked.
pub fn next(seen: &Observation) -> Result<Next, Refusal> {
    gate(seen)?;
    boot(seen)?;
    match seen.partitions {
        0 if seen.made_now => Err(not_created("the new partition is not in the partition table")),
        0 if seen.provisioned => Ok(Next::Do(Step::Forget)),
        0 => Ok(Next::Do(Step::Create)),
        1 => volume(seen),
        n => Err(Refusal::new(
            Reason::SeveralVarPartitions,
            format!("the boot disk has {n} partitions of type var; delete all but this device's"),
        )),
    }
}

fn gate(seen: &Observation) -> Result<(), Refusal> {
    match seen.floor {
        None if seen.provisioned => Err(Refusal::new(
            Reason::FloorMissing,
            "the TPM remembers a state volume but not the least security version that may run; \
             was it tampered with? Clear the TPM in the firmware to start anew, which erases the \
             device",
        )),
        Some(floor) if seen.security_version < floor => Err(Refusal::new(
            Reason::BelowFloor,
            format!(
                "this release has security version {}, the device accepts {floor} and above; boot \
                 or install a newer release",
                seen.security_version
            ),
        )),
        _ => Ok(()),
    }
}

fn boot(seen: &Observation) -> Result<(), Refusal> {
    if seen.command_line_pcr != [0; 32] {
        return Err(Refusal::new(
            Reason::CommandLineAdded,
            format!(
                "PCR {COMMAND_LINE_PCR} is not zero: a command line, credential or add-on was \
                 added to the signed boot; remove it from the EFI system partition and the \
                 firmware (SMBIOS)"
            ),
        ));
    }
    match &seen.signature {
        BootSignature::Ours => Ok(()),
        BootSignature::NotOurs(why) => Err(Refusal::new(Reason::BootNotSigned, why)),
    }
}

fn volume(seen: &Observation) -> Result<Next, Refusal> {
    match &seen.volume {
        Volume::Luks { tpm_token: true } => Ok(Next::Do(Step::Open)),
        Volume::Luks { tpm_token: false } => {
            Err(foreign("it is a LUKS2 volume without a key for a TPM"))
        }
        Volume::DoesNotOpen(why) => Err(Refusal::new(
            Reason::VarDoesNotOpen,
            format!(
                "{why}; it was made with another TPM, other Secure Boot keys or another system: \
                 put back what was changed, or recover it with the recovery key"
            ),
        )),
        Volume::Open(Marker::Valid) => Ok(match (seen.floor, seen.provisioned) {
            (None, _) => Next::Do(Step::WriteFloor),
            (Some(_), false) => Next::Do(Step::Provision),
            (Some(_), true) if seen.made_now => Next::Accept(Accepted::Created),
            (Some(_), true) => Next::Accept(Accepted::Opened),
        }),
        Volume::Open(Marker::Missing) if seen.made_now && !seen.provisioned => {
            Ok(Next::Do(Step::WriteMarker))
        }
        Volume::Bare => unproven(seen, foreign("it is not a LUKS2 volume")),
        Volume::Unmountable(why) => {
            unproven(seen, Refusal::new(Reason::VarDamaged, format!("{why}; recover or erase it")))
        }
        Volume::Open(Marker::Missing) => unproven(seen, foreign("it has no marker")),
        Volume::Open(Marker::Invalid(why)) => unproven(seen, foreign(why)),
    }
}

/// A volume that nobody needs is made anew, once.
fn unproven(seen: &Observation, refusal: Refusal) -> Result<Next, Refusal> {
    if seen.provisioned {
        Err(refusal)
    } else if seen.made_now {
        Err(not_created(&refusal.detail))
    } else {
        Ok(Next::Do(Step::Recreate))
    }
}

fn foreign(why: &str) -> Refusal {
    Refusal::new(
        Reason::VarIsForeign,
        format!(
            "the state volume on the boot disk was not made by this device: {why}; put back this \
             device's disk, or delete the partition to start anew"
        ),
    )
}

fn not_created(why: &str) -> Refusal {
    Refusal::new(
        Reason::VarNotCreated,
        format!(
            "the state volume was made and is not usable: {why}; see the journal, and check the disk"
        ),
    )
}
