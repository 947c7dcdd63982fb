//! What the cloud says of rules and ports.

use holdfast_ipc::{CallError, ErrorKind};
use holdfast_policy_document::{Policy, ReadPolicy, VerifyError};
use holdfast_usb_rules::Document;
use holdfast_usb_rules::ports::{MAX_LIST_BYTES, PortList};

use super::edit::{invalid, not_kept};
use super::news::NoteOutcome;
use super::{Blocker, parse_ports, parse_rules};
use crate::file::FileError;
use crate::rules::{Kept, Origin};
use crate::sysfs::Sysfs;

/// The lists of a policy, as they go in force.
struct Lists {
    rules: Option<Document>,
    ports: Option<PortList>,
}

impl Lists {
    fn parse(policy: &Policy) -> Result<Self, String> {
        let rules = policy.rules.as_deref().map(|text| parse_rules(text.as_bytes()));
        let rules = rules.transpose().map_err(|error| format!("rules: {error}"))?;
        let ports = policy.ports.as_deref();
        if let Some(text) = ports.filter(|text| text.len() > MAX_LIST_BYTES) {
            return Err(format!("ports: {} bytes, over the limit of {MAX_LIST_BYTES}", text.len()));
        }
        let ports = ports.map(|text| parse_ports(text.as_bytes()));
        let ports = ports.transpose().map_err(|error| format!("ports: {error}"))?;
        Ok(Self { rules, ports })
    }
}

impl<S: Sysfs> Blocker<S> {
    /// Takes a policy that `judge` believes, after the one that was taken last; its version. All of
    /// it or nothing. What a fault of the disk leaves undone is done later.
    pub fn take_policy(
        &mut self,
        document: &[u8],
        judge: impl FnOnce(&[u8], Option<&ReadPolicy>) -> Result<ReadPolicy, VerifyError>,
    ) -> Result<u64, CallError> {
        let read = judge(document, self.cloud.newest());
        let read = read.map_err(|error| invalid(format!("the policy is not taken: {error}")))?;
        let version = read.policy.version;
        if self.cloud.is_done(&read) {
            return Ok(version);
        }
        let lists = Lists::parse(&read.policy);
        let lists = lists.map_err(|error| invalid(format!("the policy is not taken: {error}")))?;
        self.cloud.keep(document, read).map_err(|error| not_kept(&error))?;
        self.put_lists(lists).map_err(|error| {
            let message = format!("the policy is kept, and tried again: {error}");
            CallError::new(ErrorKind::Failed, message)
        })?;
        Ok(version)
    }

    /// Puts a policy in force that was taken and whose lists were not written.
    pub(super) fn finish_policy(&mut self) {
        let Some(policy) = self.cloud.pending() else { return };
        let target = format!("version {}", policy.version);
        let result = match Lists::parse(policy) {
            Ok(lists) => self.put_lists(lists).map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        let outcome = match result {
            Ok(()) => NoteOutcome::Done,
            Err(error) if self.cloud_fault.as_ref() == Some(&error) => return,
            Err(error) => NoteOutcome::Failed(error),
        };
        self.cloud_fault = match &outcome {
            NoteOutcome::Failed(error) => Some(error.clone()),
            NoteOutcome::Done | NoteOutcome::Denied(_) => None,
        };
        self.news.note("usb.policy-load", target, outcome);
    }

    fn put_lists(&mut self, Lists { rules, ports }: Lists) -> Result<(), FileError> {
        if let Some(rules) = rules {
            self.rules_place.save(&rules.to_bytes())?;
            self.take_rules(rules, Origin::Device);
        }
        if let Some(ports) = ports {
            self.ports_place.save(&ports.to_bytes())?;
            self.port_list = Kept { content: ports, origin: Origin::Device, error: None };
            self.ports_are_due = true;
            self.generation += 1;
        }
        self.cloud.set_applied()
    }

    /// Says in the log that the policy that was taken last cannot be read.
    pub(super) fn note_lost_policy(&mut self, error: String) {
        self.news.note("usb.policy-load", "none".to_owned(), NoteOutcome::Failed(error));
    }
}
