//! The real daemon against the real connector, with a software TPM and a message bus of its own.

mod bus;
mod cloud;
mod device;
mod interruption;
mod lifecycle;
mod refusals;
mod sealing;
