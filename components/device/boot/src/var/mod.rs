//! The state volume: gate, first boot, opening, proof of origin.

mod create;
mod decide;
pub mod device;
pub mod ext4;
pub mod luks;
pub mod mapping;
pub mod marker;
#[cfg(test)]
mod model;
pub mod seal;
pub mod verdict;

use std::{process::ExitCode, time::Instant};

use crate::{
    console::{milestone, note},
    files,
    places::Places,
    refusal::{Reason, Refusal},
};
use decide::{Accepted, Next, Observation, Step, next};
use device::Device;
use verdict::Verdict;

/// The longest way is: forget, create, open, marker, floor, provision, accept.
const MOST_STEPS: usize = 12;

/// What is decided about and acted on.
trait World {
    /// Looks.
    fn observe(&mut self) -> Result<Observation, Refusal>;
    /// Takes a step.
    fn perform(&mut self, step: Step) -> Result<(), Refusal>;
}

/// Takes steps until the volume is accepted or refused.
fn settle(world: &mut impl World) -> Result<Accepted, Refusal> {
    for _ in 0..MOST_STEPS {
        match next(&world.observe()?)? {
            Next::Accept(accepted) => return Ok(accepted),
            Next::Do(step) => {
                note(format_args!("state volume: {step:?}"));
                world.perform(step)?;
            }
        }
    }
    Err(Refusal::new(Reason::NoProgress, "the state volume does not settle; see the journal"))
}

/// The verb.
pub fn run(places: &Places) -> ExitCode {
    let start = Instant::now();
    let mut seal = None;
    let outcome = Device::open(places).and_then(|mut device| {
        let outcome = settle(&mut device).and_then(|accepted| {
            device.attach()?;
            Ok(accepted)
        });
        seal = outcome.is_ok().then(|| device.check_seal());
        if outcome.is_err() {
            device.close();
        }
        outcome
    });
    let verdict = Verdict::new(&outcome, start.elapsed().as_secs_f64()).with_seal(seal);
    milestone(verdict.line());
    let recorded =
        serde_json::to_vec(&verdict).map_err(|error| error.to_string()).and_then(|json| {
            files::publish(&places.at(Verdict::PATH), &json).map_err(|error| error.to_string())
        });
    if let Err(error) = recorded {
        note(error);
    }
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
