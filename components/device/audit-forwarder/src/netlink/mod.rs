//! The kernel's audit over netlink (include/uapi/linux/audit.h).

mod reader;
mod socket;
mod status;

pub use reader::{Batch, Messages, Reader, Received};
pub use socket::{AuditSocket, NetlinkError};
pub use status::Status;

use holdfast_audit_log::kernel::MessageType;

use crate::rules::Rules;

const AUDIT_GET: u16 = 1000;
const AUDIT_SET: u16 = 1001;
const AUDIT_ADD_RULE: u16 = 1011;
const AUDIT_DEL_RULE: u16 = 1012;
const AUDIT_LIST_RULES: u16 = 1013;
const AUDIT_SET_FEATURE: u16 = 1018;
/// Messages from here on are events.
const FIRST_EVENT: u16 = 1100;

/// Whether a message is a part of an event, as opposed to an answer.
fn is_event(kind: u16) -> bool {
    kind >= FIRST_EVENT
}

/// What was found and done when the kernel was set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUp {
    /// The rules were closed by an earlier start in this boot, and are as they were then.
    pub was_closed: bool,
    /// Rules that are in force.
    pub rules: usize,
    /// Lines of rules about files or folders that are not there.
    pub absent: Vec<usize>,
}

/// Ends this process's being the kernel's audit daemon: from here on the kernel keeps what happens for
/// the next one.
pub fn unregister(socket: &mut AuditSocket) -> Result<(), NetlinkError> {
    socket.set(status::Setting::Pid, 0, &mut |_, _| {})
}

/// Registers this process as the kernel's audit daemon, and loads the rules. Events that come
/// meanwhile go to `sink`.
pub fn set_up(
    socket: &mut AuditSocket,
    rules: &Rules,
    mut sink: impl FnMut(MessageType, &[u8]),
) -> Result<SetUp, NetlinkError> {
    let sink: &mut dyn FnMut(MessageType, &[u8]) = &mut sink;
    let status = socket.status(sink)?;
    if status.enabled == 2 {
        socket.register(sink)?;
        let listed = socket.request_list(AUDIT_LIST_RULES, sink)?;
        return Ok(SetUp { was_closed: true, rules: listed.len(), absent: Vec::new() });
    }
    // The backlog first: the rules fill it.
    if let Some(limit) = rules.backlog_limit {
        socket.set(status::Setting::BacklogLimit, limit, sink)?;
    }
    if let Some(jiffies) = rules.backlog_wait_time {
        socket.set(status::Setting::BacklogWaitTime, jiffies, sink)?;
    }
    if let Some(failure) = rules.failure {
        socket.set(status::Setting::Failure, failure, sink)?;
    }
    socket.set(status::Setting::Enabled, 1, sink)?;
    socket.register(sink)?;
    for old in socket.request_list(AUDIT_LIST_RULES, sink)? {
        socket.request(AUDIT_DEL_RULE, &old, sink)?;
    }
    let mut absent = Vec::new();
    for rule in &rules.rules {
        match socket.request(AUDIT_ADD_RULE, &rule.encode(), sink) {
            Ok(()) => {}
            // One file of rules serves images with and without what they watch.
            Err(error) if error.is_absent() => absent.push(rule.line),
            Err(error) => return Err(error.about(format!("the rule of line {}", rule.line))),
        }
    }
    if rules.login_uid_immutable {
        socket.request(AUDIT_SET_FEATURE, &status::login_uid_immutable(), sink)?;
    }
    if let Some(enabled) = rules.enabled.filter(|enabled| *enabled != 1) {
        socket.set(status::Setting::Enabled, enabled, sink)?;
    }
    Ok(SetUp { was_closed: false, rules: rules.rules.len() - absent.len(), absent })
}
