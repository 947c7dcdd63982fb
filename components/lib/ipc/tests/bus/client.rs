//! A foreign client: gdbus, as any user.

use std::{os::unix::process::CommandExt, process::Command};

use holdfast_ipc::RoleGroups;

use super::private_bus::PrivateBus;

/// User and only group of a client.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    pub uid: u32,
    pub gid: u32,
}

/// Users of this machine, each with a group of its own, who play the parts. They must exist: the
/// bus turns away users that it cannot look up.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    pub stranger: Who,
    pub viewer: Who,
    pub operator: Who,
    pub other_operator: Who,
    pub admin: Who,
}

impl Cast {
    /// Takes the first five users of the machine other than root.
    pub fn of_this_machine() -> Self {
        let mut users: Vec<Who> = Vec::new();
        for line in std::fs::read_to_string("/etc/passwd").unwrap().lines() {
            let ids: Vec<u32> = line.split(':').skip(2).take(2).flat_map(str::parse).collect();
            if let [uid, gid] = ids[..]
                && uid != 0
                && gid != 0
                && users.iter().all(|user| user.uid != uid && user.gid != gid)
            {
                users.push(Who { uid, gid });
            }
        }
        let [stranger, viewer, operator, other, admin, ..] = users[..] else {
            panic!("five users with groups of their own are needed in /etc/passwd");
        };
        let other_operator = Who { gid: operator.gid, ..other };
        Self { stranger, viewer, operator, other_operator, admin }
    }

    pub fn groups(&self) -> RoleGroups {
        RoleGroups {
            viewer: Some(self.viewer.gid),
            operator: Some(self.operator.gid),
            admin: Some(self.admin.gid),
        }
    }
}

/// Whether this process may start clients of other users.
pub fn can_be_others() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t0\t"));
    if !root {
        eprintln!("skipped: needs root to call as other users");
    }
    root
}

/// Calls `org.holdfast.Identity1.<method>` and returns what gdbus printed.
pub fn call(
    bus: &PrivateBus,
    who: Who,
    method: &str,
    arguments: &[&str],
) -> Result<String, String> {
    call_any(bus, who, &format!("org.holdfast.Identity1.{method}"), arguments)
}

/// Calls any method of the object, by its full name.
pub fn call_any(
    bus: &PrivateBus,
    who: Who,
    method: &str,
    arguments: &[&str],
) -> Result<String, String> {
    call_service(bus, who, "Identity1", method, arguments)
}

/// Calls any method of the object of one of our services, by its full name.
pub fn call_service(
    bus: &PrivateBus,
    who: Who,
    service: &str,
    method: &str,
    arguments: &[&str],
) -> Result<String, String> {
    let output = Command::new("gdbus")
        .args(["call", "--address", &bus.address, "--dest", &format!("org.holdfast.{service}")])
        .args(["--object-path", &format!("/org/holdfast/{service}"), "--method", method])
        .args(arguments)
        .uid(who.uid)
        .gid(who.gid)
        .output()
        .expect("gdbus is needed: install the package libglib2.0-bin");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
