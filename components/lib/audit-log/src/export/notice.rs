//! What the log says about itself and its device.

use super::line::UserMessage;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::frame::Frame;
use crate::kernel::MessageType;
use crate::{Boot, ClockStep, Loss, LossCause, Recovered};

pub(super) fn loss(frame: &Frame<'_>, loss: &Loss) -> UserMessage {
    let Loss { cause, count, first_serial, last_serial, uid } = loss;
    let mut message = UserMessage::new(MessageType::USER, "records-lost", frame);
    message.uid = *uid;
    message.word("cause", name_of(*cause));
    message.word("count", count);
    for (name, serial) in [("first_serial", first_serial), ("last_serial", last_serial)] {
        if let Some(serial) = serial {
            message.word(name, serial);
        }
    }
    message.failed()
}

const fn name_of(cause: LossCause) -> &'static str {
    match cause {
        LossCause::KernelLost => "kernel-lost",
        LossCause::SerialGap => "serial-gap",
        LossCause::SocketOverflow => "socket-overflow",
        LossCause::SpoolFull => "spool-full",
        LossCause::WriteFailed => "write-failed",
        LossCause::QueueFull => "queue-full",
        LossCause::Oversize => "oversize",
        LossCause::Coalesced => "coalesced",
    }
}

pub(super) fn recovered(frame: &Frame<'_>, recovered: &Recovered) -> UserMessage {
    let mut message = UserMessage::new(MessageType::USER, "log-recovered", frame);
    message.word("bytes", recovered.bytes);
    message.text("info", recovered.fault.as_str());
    message
}

pub(super) fn checkpoint(frame: &Frame<'_>, signed: &SignedCheckpoint) -> UserMessage {
    let Checkpoint { origin, size, root, boot, .. } = signed.unverified();
    let mut message = UserMessage::new(MessageType::USER, "checkpoint", frame);
    message.text("log", origin.as_str());
    message.word("size", size);
    message.word("root", root);
    if let Some(boot) = boot {
        message.word("tpm_clock_ms", boot.clock.clock_ms);
        message.word("tpm_resets", boot.clock.reset_count);
        message.word("nv_counter", boot.nv_counter);
    }
    message
}

pub(super) fn boot(frame: &Frame<'_>, boot: &Boot) -> UserMessage {
    let Boot { boot_id, release, kernel, firmware } = boot;
    let mut message = UserMessage::new(MessageType::SYSTEM_BOOT, "boot", frame);
    message.text("boot_id", boot_id.as_str());
    message.text("ver", release.as_str());
    message.text("kernel", kernel.as_str());
    message.text("firmware", firmware.as_str());
    message
}

/// As hwclock(8) writes it.
pub(super) fn clock(frame: &Frame<'_>, step: &ClockStep) -> UserMessage {
    let mut message = UserMessage::new(MessageType::USYS_CONFIG, "change-system-time", frame);
    message.word("old_ns", step.before_ns);
    message.word("new_ns", step.after_ns);
    message
}
