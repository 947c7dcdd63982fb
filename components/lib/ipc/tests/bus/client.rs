//! A foreign client: gdbus, as any user.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

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
    let (name, path) = (format!("org.holdfast.{service}"), format!("/org/holdfast/{service}"));
    call_object(bus, who, Object { name: &name, path: &path }, method, arguments)
}

/// Where an object is.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    pub name: &'a str,
    pub path: &'a str,
}

/// Calls any method of any object, by its full name.
pub fn call_object(
    bus: &PrivateBus,
    who: Who,
    object: Object<'_>,
    method: &str,
    arguments: &[&str],
) -> Result<String, String> {
    let mut gdbus = Command::new("gdbus");
    gdbus
        .args(["call", "--address", &bus.address, "--dest", object.name])
        .args(["--object-path", object.path, "--method", method])
        .args(arguments)
        .uid(who.uid)
        .gid(who.gid);
    printed(&gdbus.output().expect("gdbus is needed: install the package libglib2.0-bin"))
}

/// What a client printed, or what it complained of.
pub fn printed(output: &Output) -> Result<String, String> {
    let bytes = if output.status.success() { &output.stdout } else { &output.stderr };
    let text = String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}
