//! What is to be done with a device. Nothing is read or written here.

use std::time::Duration;

use holdfast_usb_rules::ports::PortUse;
use holdfast_usb_rules::{Basis, Circumstances, Decision, Device, Policy, RuleId, Test, Verdict};

use super::entry::{Entry, Identity, Ruling};
use super::parameters::Inserted;
use crate::clock::Now;

/// How soon it is looked whether the time is known.
const TIME_UNKNOWN: Duration = Duration::from_secs(5);

/// By what devices are judged.
#[derive(Debug)]
pub(super) struct Standard<'a> {
    pub policy: &'a Policy,
    /// The rules could be read, whichever they are.
    pub has_rules: bool,
    pub inserted: Inserted,
    pub generation: u64,
    /// What the port is for.
    pub port: PortUse,
    /// The port is off since too many devices came.
    pub is_stormy: bool,
    /// Ports are not shut.
    pub is_observed: bool,
    /// Devices that came before and are allowed.
    pub allowed: &'a [&'a Device],
}

/// Judges a device.
pub(super) fn judge<F>(entry: &Entry<F>, standard: &Standard<'_>, now: &Now) -> Ruling {
    let generation = standard.generation;
    let ruling = |verdict, reason: &str| Ruling {
        verdict,
        reason: reason.to_owned(),
        rule: None,
        interfaces: None,
        is_final: false,
        generation,
        again: None,
    };
    let device = match &entry.identity {
        Identity::Known(known) => &known.device,
        Identity::Malformed(why) => {
            return Ruling {
                is_final: true,
                ..ruling(Verdict::Reject, &format!("malformed: {why}"))
            };
        }
        Identity::Incomplete => return ruling(Verdict::Block, "not complete"),
    };
    // A rule that blocks all the rest means no controller: with it would go what is let in.
    if entry.name.is_controller() {
        return if standard.port == PortUse::Unused && !standard.is_observed {
            ruling(Verdict::Block, "none of its ports is in use")
        } else {
            ruling(Verdict::Allow, "controller")
        };
    }
    if !standard.is_observed {
        // A hub may be unable to switch its ports.
        if standard.port == PortUse::Unused {
            return Ruling { is_final: true, ..ruling(Verdict::Block, "its port is not in use") };
        }
        if standard.is_stormy {
            let reason = "too many devices came on its port";
            return Ruling { is_final: true, ..ruling(Verdict::Block, reason) };
        }
    }
    if let Some(hold) = entry.hold.filter(|hold| !hold.is_over(now.uptime)) {
        let reason = if hold.was_next { "operator, as the next device" } else { "operator" };
        return Ruling { again: hold.until, ..ruling(hold.verdict, reason) };
    }
    if !standard.has_rules && standard.port == PortUse::Internal {
        return ruling(Verdict::Allow, "internal port");
    }
    if !entry.was_present {
        match standard.inserted {
            Inserted::Block => return ruling(Verdict::Block, "InsertedDevicePolicy"),
            Inserted::Reject => return ruling(Verdict::Reject, "InsertedDevicePolicy"),
            Inserted::ApplyPolicy => {}
        }
    }
    let draw = |rule, condition| entry.draws.draw(rule, condition);
    let circumstances = circumstances(entry, standard, now, &draw);
    let decision = standard.policy.decide(device, &circumstances);
    let edge = standard.policy.next_change(device, &circumstances);
    let unknown = decision.awaits_time.then_some(TIME_UNKNOWN);
    let again = edge.into_iter().chain(unknown).min().map(|wait| now.uptime + wait);
    Ruling { again, ..of_decision(&decision, generation) }
}

/// The circumstances under which a device is judged.
pub(super) fn circumstances<'a, F>(
    entry: &'a Entry<F>,
    standard: &Standard<'a>,
    now: &Now,
    draw: &'a dyn Fn(RuleId, usize) -> f64,
) -> Circumstances<'a> {
    Circumstances {
        local_time: now.local_time,
        arrived: entry.arrived,
        history: &entry.history,
        allowed: standard.allowed,
        draw,
    }
}

fn of_decision(decision: &Decision<'_>, generation: u64) -> Ruling {
    let unknown = if decision.awaits_time { " while the time is unknown" } else { "" };
    Ruling {
        verdict: decision.verdict,
        reason: format!("{}{unknown}", decision.basis),
        rule: match decision.basis {
            Basis::Rule { id, .. } => Some(id),
            Basis::Implicit => None,
        },
        interfaces: decision.interface_policy().cloned(),
        is_final: false,
        generation,
        again: None,
    }
}

/// Whether a rule of the policy asks which other devices are allowed.
pub(super) fn looks_around(policy: &Policy) -> bool {
    let mut conditions = policy.rules().iter().filter_map(|(_, rule)| rule.conditions.as_ref());
    conditions.any(|conditions| {
        conditions.values().iter().any(|one| matches!(one.test(), Test::AllowedMatches(_)))
    })
}
