//! What the kernel says about a caller's process: login uid, unit, program.

use std::{fs, os::fd::AsRawFd, path::PathBuf};

/// Facts about one process; each is `None` where the kernel does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Uid of the login that the process descends from.
    pub login_uid: Option<u32>,
    /// systemd unit of the process.
    pub unit: Option<String>,
    /// Path of the program, or its name where the path may not be read.
    pub program: Option<String>,
}

/// The proc file system, usually at `/proc`.
#[derive(Clone, Debug)]
pub struct ProcFs {
    root: PathBuf,
}

impl Default for ProcFs {
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl ProcFs {
    /// A proc file system somewhere else.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Reads what is known of a process. The pid may have been reused by the time of reading:
    /// use [`Self::pinned_pid`] before and after where that matters.
    pub fn facts(&self, pid: u32) -> ProcessFacts {
        let read = |name: &str| fs::read_to_string(self.root.join(pid.to_string()).join(name)).ok();
        let program = fs::read_link(self.root.join(pid.to_string()).join("exe"))
            .ok()
            .map(|path| path.to_string_lossy().into_owned())
            .or_else(|| read("comm").map(|name| name.trim_end().to_owned()));
        ProcessFacts {
            login_uid: read("loginuid").and_then(|text| parse_login_uid(&text)),
            unit: read("cgroup").and_then(|text| unit_of_cgroup(&text)),
            program,
        }
    }

    /// Pid of the process that a pidfd refers to; `None` once it has ended.
    pub fn pinned_pid(&self, pidfd: &impl AsRawFd) -> Option<u32> {
        let path = self.root.join("self/fdinfo").join(pidfd.as_raw_fd().to_string());
        parse_pidfd_info(&fs::read_to_string(path).ok()?)
    }
}

/// The login uid, unless it was never set (`proc_pid_loginuid(5)`: 4294967295).
fn parse_login_uid(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

/// The `Pid:` line of a pidfd's fdinfo; 0 (other pid namespace) and -1 (ended) are no pid.
fn parse_pidfd_info(text: &str) -> Option<u32> {
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    pid.trim().parse().ok().filter(|pid| *pid != 0)
}

/// The system unit in `/proc/<pid>/cgroup` of the unified hierarchy: the first part of the path
/// that is not a slice. What follows below it is delegated and may be named by its owner, so it
/// does not count.
fn unit_of_cgroup(text: &str) -> Option<String> {
    const KINDS: [&str; 5] = ["service", "scope", "socket", "mount", "swap"];
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    if path.split('/').any(|part| part == "..") {
        // Seen from inside a cgroup namespace: not the system's path.
        return None;
    }
    let is_slice = |part: &&str| part.rsplit_once('.').is_some_and(|(_, kind)| kind == "slice");
    let part = path.split('/').find(|part| !is_slice(part))?;
    // systemd puts "_" before a name that a cgroup attribute could be mistaken for.
    let unit = part.strip_prefix('_').unwrap_or(part);
    let (stem, kind) = unit.rsplit_once('.')?;
    (!stem.is_empty() && KINDS.contains(&kind)).then(|| unit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_is_the_first_part_that_is_not_a_slice() {
        let table = [
            ("0::/system.slice/holdfast-update.service\n", Some("holdfast-update.service")),
            ("0::/system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service")),
            ("0::/system.slice/a.service/holdfast-update.service", Some("a.service")),
            ("0::/user.slice/user-1000.slice/session-2.scope", Some("session-2.scope")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/holdfast-update.service",
                Some("user@1000.service"),
            ),
            ("0::/system.slice/_cpu.service", Some("cpu.service")),
            ("1:name=x:/x\n0::/init.scope\n", Some("init.scope")),
            ("0::/", None),
            ("0::/system.slice", None),
            ("0::/docker/0123", None),
            ("0::/.service", None),
            ("0::/../holdfast-update.service", None),
            ("12:cpu:/system.slice/a.service", None),
            ("", None),
        ];
        for (text, unit) in table {
            assert_eq!(unit_of_cgroup(text).as_deref(), unit, "{text:?}");
        }
    }

    #[test]
    fn login_uid() {
        let table = [
            ("1000", Some(1000)),
            ("0\n", Some(0)),
            ("4294967295", None),
            ("", None),
            ("-1", None),
        ];
        for (text, uid) in table {
            assert_eq!(parse_login_uid(text), uid, "{text:?}");
        }
    }

    #[test]
    fn pidfd_info() {
        let table = [
            ("pos:\t0\nflags:\t02000002\nPid:\t1234\nNSpid:\t1234\n", Some(1234)),
            ("pos:\t0\nPid:\t-1\nNSpid:\t-1\n", None),
            ("Pid:\t0\n", None),
            ("pos:\t0\n", None),
        ];
        for (text, pid) in table {
            assert_eq!(parse_pidfd_info(text), pid, "{text:?}");
        }
    }

    #[test]
    fn own_process() {
        let facts = ProcFs::default().facts(std::process::id());
        let program = std::env::current_exe().unwrap();
        assert_eq!(facts.program.as_deref(), program.to_str());
        assert_eq!(ProcFs::at("/nowhere").facts(1), ProcessFacts::default());
    }
}
