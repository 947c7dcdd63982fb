//! The power is cut after every single effect, and volumes are planted: the device always ends with
//! its own volume or refuses, and never uses a foreign one.

use super::{
    World,
    decide::{Accepted, BootSignature, Marker, Observation, Step, Volume},
    settle,
};
use crate::refusal::{Reason, Refusal};

/// Who made a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// No LUKS2 header at all.
    Nobody,
    /// LUKS2 with a password only.
    Password,
    /// Another TPM.
    OtherTpm,
    /// Somebody who knows the public part of this TPM's storage key, so that it opens.
    Attacker,
    /// The same, with a marker copied or invented.
    AttackerWithMarker,
    /// This device.
    Device { marker: bool },
    /// This device, and its file system is destroyed.
    DeviceDamaged,
}

/// An index of the TPM: absent, defined without content, written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Absent,
    Defined,
    Written(u64),
}

impl Index {
    fn value(self) -> Option<u64> {
        match self {
            Self::Written(value) => Some(value),
            Self::Absent | Self::Defined => None,
        }
    }
}

/// Why a run ended early.
const CUT: Reason = Reason::NoProgress;

#[derive(Debug, Clone)]
struct Model {
    volumes: Vec<Maker>,
    floor: Index,
    provisioned: Index,
    security_version: u64,
    command_line_pcr: [u8; 32],
    signature: BootSignature,
    made_now: bool,
    tried: bool,
    /// Effects until the power is cut.
    budget: usize,
    erased: Vec<Maker>,
}

impl Model {
    fn new() -> Self {
        Self {
            volumes: vec![],
            floor: Index::Absent,
            provisioned: Index::Absent,
            security_version: 1,
            command_line_pcr: [0; 32],
            signature: BootSignature::Ours,
            made_now: false,
            tried: false,
            budget: usize::MAX,
            erased: vec![],
        }
    }

    fn provisioned() -> Self {
        Self {
            volumes: vec![Maker::Device { marker: true }],
            floor: Index::Written(0),
            provisioned: Index::Written(1),
            ..Self::new()
        }
    }

    fn with(volume: Maker) -> Self {
        Self { volumes: vec![volume], ..Self::new() }
    }

    fn provisioned_with(volume: Maker) -> Self {
        Self { volumes: vec![volume], ..Self::provisioned() }
    }

    /// An effect that outlasts the power, unless the power is cut before it.
    fn effect(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), Refusal> {
        self.budget = self.budget.checked_sub(1).ok_or_else(|| Refusal::new(CUT, "power cut"))?;
        change(self);
        Ok(())
    }

    fn boot(&mut self) -> Result<Accepted, Refusal> {
        self.made_now = false;
        self.tried = false;
        let outcome = settle(self);
        if outcome.is_ok() {
            assert_eq!(
                self.volumes,
                [Maker::Device { marker: true }],
                "a volume of others is used"
            );
            assert!(self.provisioned.value().is_some() && self.floor.value().is_some());
        }
        outcome
    }

    fn reason(&mut self) -> Option<Reason> {
        self.boot().err().map(|refusal| refusal.reason)
    }
}

impl World for Model {
    fn observe(&mut self) -> Result<Observation, Refusal> {
        let volume = match self.volumes.first() {
            None | Some(Maker::Nobody) => Volume::Bare,
            Some(Maker::Password) => Volume::Luks { tpm_token: false },
            Some(_) if !self.tried => Volume::Luks { tpm_token: true },
            Some(Maker::OtherTpm) => Volume::DoesNotOpen("no key".into()),
            Some(Maker::DeviceDamaged) => Volume::Unmountable("no ext4".into()),
            Some(Maker::Attacker | Maker::Device { marker: false }) => {
                Volume::Open(Marker::Missing)
            }
            Some(Maker::AttackerWithMarker) => Volume::Open(Marker::Invalid("code".into())),
            Some(Maker::Device { marker: true }) => Volume::Open(Marker::Valid),
        };
        Ok(Observation {
            security_version: self.security_version,
            floor: self.floor.value(),
            provisioned: self.provisioned.value().is_some(),
            command_line_pcr: self.command_line_pcr,
            signature: self.signature.clone(),
            partitions: self.volumes.len(),
            volume,
            made_now: self.made_now,
        })
    }

    fn perform(&mut self, step: Step) -> Result<(), Refusal> {
        match step {
            Step::Create | Step::Recreate => {
                self.tried = false;
                if step == Step::Recreate {
                    self.effect(|m| m.erased.append(&mut m.volumes))?;
                }
                // The space is written first; the table names it only when it is complete.
                self.effect(|_| {})?;
                self.effect(|m| m.volumes.push(Maker::Device { marker: false }))?;
                self.made_now = true;
            }
            Step::Forget => self.effect(|m| m.provisioned = Index::Absent)?,
            Step::Open => self.tried = true,
            Step::WriteMarker => {
                self.effect(|_| {})?; // the file under its temporary name
                self.effect(|m| m.volumes = vec![Maker::Device { marker: true }])?;
            }
            Step::WriteFloor => {
                self.effect(|m| m.floor = Index::Defined)?;
                self.effect(|m| m.floor = Index::Written(0))?;
            }
            Step::Provision => {
                self.effect(|m| m.provisioned = Index::Defined)?;
                self.effect(|m| m.provisioned = Index::Written(1))?;
            }
        }
        Ok(())
    }
}

#[test]
fn first_and_later_boots() {
    let mut model = Model::new();
    assert_eq!(model.boot(), Ok(Accepted::Created));
    assert_eq!(model.boot(), Ok(Accepted::Opened));
    assert_eq!((model.floor, model.provisioned), (Index::Written(0), Index::Written(1)));
}

#[test]
fn the_gate() {
    let gate = |version, floor, provisioned| {
        let mut model = Model { security_version: version, floor, ..Model::provisioned() };
        model.provisioned = provisioned;
        model.reason()
    };
    let yes = Index::Written(1);
    for (version, floor, provisioned, reason) in [
        (2, Index::Written(2), yes, None),
        (3, Index::Written(2), yes, None),
        (1, Index::Written(2), yes, Some(Reason::BelowFloor)),
        (1, Index::Written(2), Index::Absent, Some(Reason::BelowFloor)),
        (1, Index::Absent, yes, Some(Reason::FloorMissing)),
        (1, Index::Defined, yes, Some(Reason::FloorMissing)),
        (0, Index::Absent, Index::Absent, None),
        (0, Index::Defined, Index::Defined, None),
    ] {
        assert_eq!(
            gate(version, floor, provisioned),
            reason,
            "{version} {floor:?} {provisioned:?}"
        );
    }
}

#[test]
fn a_boot_that_was_added_to_or_not_signed_changes_nothing() {
    for start in [Model::new(), Model::provisioned(), Model::with(Maker::Nobody)] {
        let mut added = Model { command_line_pcr: [1; 32], ..start.clone() };
        assert_eq!(added.reason(), Some(Reason::CommandLineAdded));
        let unsigned = BootSignature::NotOurs("key".into());
        let mut foreign = Model { signature: unsigned, ..start.clone() };
        assert_eq!(foreign.reason(), Some(Reason::BootNotSigned));
        for model in [added, foreign] {
            assert_eq!(model.volumes, start.volumes);
            assert_eq!(model.provisioned, start.provisioned);
        }
    }
}

#[test]
fn a_provisioned_device_refuses_what_it_did_not_make_and_erases_nothing() {
    for (volume, reason) in [
        (Maker::Nobody, Reason::VarIsForeign),
        (Maker::Password, Reason::VarIsForeign),
        (Maker::OtherTpm, Reason::VarDoesNotOpen),
        (Maker::Attacker, Reason::VarIsForeign),
        (Maker::AttackerWithMarker, Reason::VarIsForeign),
        (Maker::DeviceDamaged, Reason::VarDamaged),
        (Maker::Device { marker: false }, Reason::VarIsForeign),
    ] {
        let mut model = Model::provisioned_with(volume);
        assert_eq!(model.reason(), Some(reason), "{volume:?}");
        assert_eq!((model.volumes.as_slice(), model.erased.len()), ([volume].as_slice(), 0));
    }
}

#[test]
fn before_provisioning_only_what_nobody_locked_is_erased() {
    for volume in [
        Maker::Nobody,
        Maker::Attacker,
        Maker::AttackerWithMarker,
        Maker::DeviceDamaged,
        Maker::Device { marker: false },
    ] {
        let mut model = Model::with(volume);
        assert_eq!(model.boot(), Ok(Accepted::Created), "{volume:?}");
        assert_eq!(model.erased, [volume]);
    }
    for (volume, reason) in
        [(Maker::Password, Reason::VarIsForeign), (Maker::OtherTpm, Reason::VarDoesNotOpen)]
    {
        let mut model = Model::with(volume);
        assert_eq!(model.reason(), Some(reason), "{volume:?}");
        assert!(model.erased.is_empty());
    }
}

#[test]
fn an_interrupted_first_boot_with_a_marker_is_completed() {
    let mut model = Model::with(Maker::Device { marker: true });
    assert_eq!(model.boot(), Ok(Accepted::Opened));
    assert!(model.erased.is_empty());
}

#[test]
fn several_volumes_are_refused() {
    let own = Maker::Device { marker: true };
    let mut model = Model { volumes: vec![own, own], ..Model::provisioned() };
    assert_eq!(model.reason(), Some(Reason::SeveralVarPartitions));
}

#[test]
fn a_volume_that_is_gone_is_made_anew_and_the_floor_stays() {
    let mut model = Model { volumes: vec![], floor: Index::Written(7), ..Model::provisioned() };
    model.security_version = 7;
    assert_eq!(model.boot(), Ok(Accepted::Created));
    assert_eq!(model.floor, Index::Written(7));
    let mut old = Model { security_version: 6, volumes: vec![], ..model };
    assert_eq!(old.reason(), Some(Reason::BelowFloor));
    assert_eq!(old.provisioned, Index::Written(1));
}

/// A disk that loses what is written to it.
#[test]
fn a_volume_that_does_not_hold_is_not_made_again_and_again() {
    struct Lossy(Model);
    impl World for Lossy {
        fn observe(&mut self) -> Result<Observation, Refusal> {
            self.0.observe()
        }
        fn perform(&mut self, step: Step) -> Result<(), Refusal> {
            self.0.perform(step)?;
            if step == Step::Create {
                self.0.volumes = vec![Maker::Nobody];
            }
            Ok(())
        }
    }
    assert_eq!(settle(&mut Lossy(Model::new())).unwrap_err().reason, Reason::VarNotCreated);
}

fn starts() -> Vec<Model> {
    vec![
        Model::new(),
        Model::with(Maker::Nobody),
        Model::with(Maker::Attacker),
        Model::with(Maker::Device { marker: true }),
        Model { volumes: vec![], ..Model::provisioned() },
        Model::provisioned(),
    ]
}

#[test]
fn a_power_cut_after_every_effect_ends_with_the_devices_own_volume() {
    for start in starts() {
        for first in 0..16 {
            for second in 0..16 {
                let mut model = Model { budget: first, ..start.clone() };
                for next_budget in [second, usize::MAX] {
                    if let Err(refusal) = model.boot() {
                        assert_eq!(refusal.reason, CUT, "{refusal} from {start:?}");
                    }
                    model.budget = next_budget;
                }
                let outcome = model.boot();
                assert!(outcome.is_ok(), "{outcome:?} after {first}, {second} from {start:?}");
            }
        }
    }
}

#[test]
fn a_volume_planted_at_any_power_cut_is_never_used() {
    let planted = [
        Maker::Nobody,
        Maker::Password,
        Maker::OtherTpm,
        Maker::Attacker,
        Maker::AttackerWithMarker,
    ];
    for start in starts() {
        for budget in 0..16 {
            for volume in planted {
                let mut model = Model { budget, ..start.clone() };
                let _ = model.boot();
                model.volumes = vec![volume];
                model.budget = usize::MAX;
                // boot() asserts that what is accepted is the device's own.
                let Err(refusal) = model.boot() else { continue };
                assert!(
                    matches!(refusal.reason, Reason::VarIsForeign | Reason::VarDoesNotOpen),
                    "{refusal}"
                );
            }
        }
    }
}
