//! Who calls, as the bus and the kernel say it.

use holdfast_audit_log::{Actor, Text};
use zbus::{Connection, fdo::ConnectionCredentials, message::Header};

use crate::{CallError, ErrorKind, Role, RoleGroups, process::ProcFs};

/// A systemd unit and how well it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Name with its suffix.
    pub name: String,
    /// The process was pinned by a pidfd that the bus took when it connected. Without it the pid
    /// may have passed to another process since then.
    pub pinned: bool,
}

/// The process at the other end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id.
    pub uid: u32,
    /// Highest role, from the groups that the process had when it connected.
    pub role: Option<Role>,
    /// Process id.
    pub pid: Option<u32>,
    /// Uid of the login that the process descends from.
    pub login_uid: Option<u32>,
    /// systemd unit.
    pub unit: Option<Unit>,
    /// Program.
    pub program: Option<String>,
}

impl Caller {
    /// Asks the bus for the sender of a message. Nothing that the sender wrote is used.
    pub async fn of(
        connection: &Connection,
        header: &Header<'_>,
        groups: &RoleGroups,
        proc_fs: &ProcFs,
    ) -> Result<Self, CallError> {
        let unknown = |why: String| {
            CallError::new(ErrorKind::AccessDenied, format!("the caller is not known: {why}"))
        };
        let sender = header.sender().ok_or_else(|| unknown("no sender on the message".into()))?;
        let reply = connection
            .call_method(
                Some("org.freedesktop.DBus"),
                "/org/freedesktop/DBus",
                Some("org.freedesktop.DBus"),
                "GetConnectionCredentials",
                &(sender.as_str(),),
            )
            .await
            .map_err(|error| unknown(format!("the bus does not say who {sender} is: {error}")))?;
        let body = reply.body();
        let credentials: ConnectionCredentials =
            body.deserialize().map_err(|error| unknown(error.to_string()))?;
        Self::from_credentials(&credentials, groups, proc_fs)
            .ok_or_else(|| unknown(format!("the bus knows no uid of {sender}")))
    }

    /// Works out the caller from its credentials; `None` without a uid.
    pub fn from_credentials(
        credentials: &ConnectionCredentials,
        groups: &RoleGroups,
        proc_fs: &ProcFs,
    ) -> Option<Self> {
        let uid = credentials.unix_user_id()?;
        // The bus leaves the groups out where it cannot tell them all: then only root has a role.
        let gids = credentials.unix_group_ids().map_or(&[][..], Vec::as_slice);
        let (pid, facts, pinned) = if let Some(pidfd) = credentials.process_fd() {
            let pid = proc_fs.pinned_pid(pidfd);
            let facts = pid.map(|pid| proc_fs.facts(pid));
            // Still there after reading, so it was this process that was read.
            let same = pid.is_some() && proc_fs.pinned_pid(pidfd) == pid;
            (pid.or(credentials.process_id()), facts.filter(|_| same), same)
        } else {
            let pid = credentials.process_id();
            (pid, pid.map(|pid| proc_fs.facts(pid)), false)
        };
        let facts = facts.unwrap_or_default();
        Some(Self {
            uid,
            role: groups.role_of(uid, gids),
            pid,
            login_uid: facts.login_uid,
            unit: facts.unit.map(|name| Unit { name, pinned }),
            program: facts.program,
        })
    }

    /// The caller as an actor of an audit record. A process without a login is the system's.
    pub fn actor(&self) -> Actor {
        let base = if self.login_uid.is_some() || self.unit.is_none() {
            Actor::user(self.uid)
        } else {
            Actor { uid: Some(self.uid), ..Actor::system() }
        };
        Actor {
            login_uid: self.login_uid,
            pid: self.pid,
            process: self.program.as_deref().map(Text::lossy),
            unit: self.unit.as_ref().map(|unit| Text::lossy(&unit.name)),
            ..base
        }
    }

    /// Refuses a caller below a role.
    pub fn require(&self, required: Role) -> Result<(), String> {
        match self.role {
            Some(role) if role >= required => Ok(()),
            Some(role) => Err(format!(
                "role {required} is needed and uid {} has role {role}: add the user to group {}",
                self.uid,
                required.group()
            )),
            None => Err(format!(
                "role {required} is needed and uid {} has none: add the user to group {}",
                self.uid,
                required.group()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use holdfast_audit_log::ActorKind;

    use super::*;

    fn proc_fs(login_uid: &str, cgroup: &str) -> (tempfile::TempDir, ProcFs) {
        let dir = tempfile::tempdir().unwrap();
        let process = dir.path().join("77");
        fs::create_dir(&process).unwrap();
        fs::write(process.join("loginuid"), login_uid).unwrap();
        fs::write(process.join("cgroup"), cgroup).unwrap();
        fs::write(process.join("comm"), "holdfast\n").unwrap();
        let proc_fs = ProcFs::at(dir.path());
        (dir, proc_fs)
    }

    const GROUPS: RoleGroups = RoleGroups { viewer: Some(901), operator: Some(902), admin: None };

    #[test]
    fn a_login_with_a_role() {
        let (_dir, proc_fs) = proc_fs("1000", "0::/user.slice/user-1000.slice/session-2.scope");
        let credentials = ConnectionCredentials::default()
            .set_unix_user_id(1000)
            .set_process_id(77)
            .add_unix_group_id(1000)
            .add_unix_group_id(902);
        let caller = Caller::from_credentials(&credentials, &GROUPS, &proc_fs).unwrap();
        assert_eq!(
            caller,
            Caller {
                uid: 1000,
                role: Some(Role::Operator),
                pid: Some(77),
                login_uid: Some(1000),
                unit: Some(Unit { name: "session-2.scope".into(), pinned: false }),
                program: Some("holdfast".into()),
            }
        );
        assert_eq!(caller.actor().kind, ActorKind::User);
        assert_eq!(caller.require(Role::Viewer), Ok(()));
        assert!(caller.require(Role::Admin).unwrap_err().contains("group holdfast-admin"));
    }

    #[test]
    fn a_service_is_the_systems() {
        let (_dir, proc_fs) = proc_fs("4294967295", "0::/system.slice/holdfast-update.service");
        let credentials = ConnectionCredentials::default().set_unix_user_id(990).set_process_id(77);
        let caller = Caller::from_credentials(&credentials, &GROUPS, &proc_fs).unwrap();
        assert_eq!((caller.role, caller.actor().kind), (None, ActorKind::System));
        assert!(caller.require(Role::Viewer).unwrap_err().contains("uid 990 has none"));
    }

    #[test]
    fn without_a_uid_nobody_calls() {
        let credentials = ConnectionCredentials::default().set_process_id(77);
        assert_eq!(Caller::from_credentials(&credentials, &GROUPS, &ProcFs::default()), None);
    }

    #[test]
    fn a_process_fd_pins_its_process_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let raw = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        let pidfd = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()).unwrap();
        // The pid in the credentials is another one: the pidfd is what counts.
        let credentials = ConnectionCredentials::default()
            .set_unix_user_id(1000)
            .set_process_id(1)
            .set_process_fd(pidfd.into());
        let proc_fs = ProcFs::default();
        let pinned = proc_fs.pinned_pid(credentials.process_fd().unwrap());
        let caller = Caller::from_credentials(&credentials, &GROUPS, &proc_fs).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((pinned, caller.pid), (Some(pid), Some(pid)));
        assert!(caller.program.is_some_and(|program| program.contains("sleep")));
        let after = Caller::from_credentials(&credentials, &GROUPS, &proc_fs).unwrap();
        assert_eq!((after.program, after.unit), (None, None));
    }

    #[test]
    fn a_process_fd_that_does_not_resolve_proves_no_unit() {
        let (_dir, proc_fs) = proc_fs("1000", "0::/system.slice/holdfast-update.service");
        let not_a_pidfd = std::os::fd::OwnedFd::from(fs::File::open("/dev/null").unwrap());
        let credentials = ConnectionCredentials::default()
            .set_unix_user_id(1000)
            .set_process_id(77)
            .set_process_fd(not_a_pidfd.into());
        let caller = Caller::from_credentials(&credentials, &GROUPS, &proc_fs).unwrap();
        assert_eq!((caller.pid, caller.unit, caller.login_uid), (Some(77), None, None));
    }
}
