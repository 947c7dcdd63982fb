//! `ausearch` and `aureport` as independent readers of what is exported.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holdfast_audit_log::export::{Exporter, Selection};
use holdfast_audit_log::frame::{Class, Frame, Kind, Timestamp};
use holdfast_audit_log::kernel::{EventBuffer, EventId, Message, MessageType};
use holdfast_audit_log::{Action, Actor, AuditRecord, Boot, Hash, Loss, LossCause, Source, Text};
use time::OffsetDateTime;

const START: u64 = 1_764_000_000;

/// The programs of the package auditd, of this machine or out of the file tree that
/// `HOLDFAST_TOOLS_TREE` names. They only read files; nothing of the package runs.
struct Auditd {
    before: Vec<OsString>,
    folder: PathBuf,
}

impl Auditd {
    fn find() -> Option<Self> {
        let found = match std::env::var_os("HOLDFAST_TOOLS_TREE") {
            Some(tree) => Self::in_tree(Path::new(&tree)),
            None => Self { before: Vec::new(), folder: "/usr/sbin".into() },
        };
        if found.folder.join("ausearch").exists() {
            return Some(found);
        }
        let reason = format!("no ausearch (package auditd) in {}", found.folder.display());
        assert!(std::env::var_os("HOLDFAST_REQUIRE_TOOLS").is_none(), "needed here: {reason}");
        eprintln!("left out: {reason}");
        None
    }

    fn in_tree(tree: &Path) -> Self {
        let before = [
            tree.join("usr/lib64/ld-linux-x86-64.so.2").into(),
            "--library-path".into(),
            tree.join("usr/lib/x86_64-linux-gnu").into(),
        ];
        Self { before: before.to_vec(), folder: tree.join("usr/sbin") }
    }

    /// What a program says about a file; nothing where it finds nothing.
    fn run(&self, program: &str, log: &Path, arguments: &[&str]) -> String {
        let path = self.folder.join(program).into_os_string();
        let mut words = self.before.iter().cloned().chain([path]);
        let output = Command::new(words.next().unwrap())
            .args(words)
            .arg("-if")
            .arg(log)
            .args(arguments)
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // Finding nothing is status 1, which cannot be told from a failure otherwise.
        let found_nothing = output.stdout.is_empty() && output.status.code() == Some(1);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || found_nothing, "{program:?} {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A log that is exported record by record.
struct Log {
    exporter: Exporter,
    sequence: u64,
    text: Vec<u8>,
}

impl Log {
    fn new() -> Self {
        Self { exporter: Exporter::new(Selection::default(), None), sequence: 0, text: Vec::new() }
    }

    fn record(&mut self, class: Class, kind: Kind, payload: &[u8]) {
        let sequence = self.sequence;
        self.sequence += 1;
        let realtime_ns = (START + sequence) * 1_000_000_000;
        let time = Timestamp { realtime_ns, ..Timestamp::default() };
        let previous = Hash::new([0; 32]);
        let frame = Frame { sequence, class, kind, time, previous, payload };
        self.exporter.record(&frame, &mut self.text);
    }

    /// An event of the kernel with the serial number that a record of ours would have, but for the
    /// highest bit.
    fn event(&mut self, messages: &[(u16, &str)]) {
        let serial = u32::try_from(self.sequence).unwrap();
        let id = EventId { seconds: START + self.sequence, milliseconds: 0, serial };
        let mut buffer = EventBuffer::new(id);
        for (kind, text) in messages {
            buffer.push(Message { kind: MessageType(*kind), text: text.as_bytes() });
        }
        self.record(Class::Kernel, Kind::KernelEvent, buffer.event().as_payload());
    }

    fn execution(&mut self, auid: u32, success: &str) {
        let call = format!(
            "arch=c000003e syscall=59 success={success} exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=10 \
             pid={auid} auid={auid} uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 \
             tty=pts0 ses=3 comm=\"ls\" exe=\"/usr/bin/ls\" key=\"hf-exec\""
        );
        let path = "item=0 name=\"/usr/bin/ls\" inode=7 dev=fe:00 mode=0100755 ouid=0 ogid=0 \
                    rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0";
        self.event(&[
            (1300, &call),
            (1309, "argc=2 a0=\"ls\" a1=2F746D702F412042"),
            (1307, "cwd=\"/root\""),
            (1302, path),
            (1327, "proctitle=6C73002F746D702F412042"),
        ]);
    }

    fn operation(&mut self, class: Class, record: &AuditRecord) {
        self.record(class, Kind::Operation, record.to_json().unwrap().as_bytes());
    }
}

fn operation(action: &str, target: &str) -> AuditRecord {
    AuditRecord::new(
        OffsetDateTime::from_unix_timestamp(i64::try_from(START).unwrap()).unwrap(),
        Source::device("enroller").unwrap(),
        Actor {
            pid: Some(4242),
            process: Some(Text::lossy("/usr/bin/busctl")),
            unit: Some(Text::lossy("session-1.scope")),
            name: Some(Text::lossy("anna")),
            ..Actor::user(1000).with_login_uid(1000)
        },
        Action::new(action).unwrap(),
        Text::lossy(target),
    )
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn number(report: &str, name: &str) -> u64 {
    let line = report.lines().find_map(|line| line.strip_prefix(&format!("Number of {name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {report}")).parse().unwrap()
}

fn serials(text: &str) -> Vec<u32> {
    let of = |line: &str| {
        let (_, rest) = line.split_once("msg=audit(").unwrap();
        rest.split_once(')').unwrap().0.split_once(':').unwrap().1.parse().unwrap()
    };
    let mut serials: Vec<u32> = text.lines().map(of).collect();
    serials.sort_unstable();
    serials.dedup();
    serials
}

/// A record that would begin in the middle of a line that is too long.
const LONG: &str = "type=USER_LOGIN msg=audit(1764000010.000:99): pid=1 uid=0 ";
/// Records of ours are numbered from here.
const OWN: u32 = 1 << 31;

fn log() -> Log {
    let mut log = Log::new();
    let boot = Boot {
        boot_id: Text::lossy("3c9b3e9e-1b1c-4b0f-8b54-1f4d1f1f0c11"),
        release: Text::lossy("41"),
        kernel: Text::lossy("6.12.0-amd64"),
        firmware: Text::lossy("EDK II 2025.02"),
    };
    log.record(Class::System, Kind::Boot, boot.to_json().unwrap().as_bytes()); // 0
    log.execution(1000, "yes"); // 1
    log.execution(1001, "no"); // 2
    log.operation(Class::Authentication, &operation("identity.sign", "tls")); // 3
    let refused = operation("identity.renew", "a b exe=\"/bin/sh\" uid=0 res=success");
    let refused = refused.denied(Text::lossy("role holdfast-operator is missing"));
    log.operation(Class::Authentication, &refused); // 4
    let device = operation("usb.allow", "1d6b:0002 serial \"0000:00:14.0\" name 'x, y'");
    log.operation(Class::Usb, &device); // 5
    log.operation(Class::Update, &operation("update.install", "holdfast 42")); // 6
    let loss = Loss::new(LossCause::KernelLost, 3).to_json().unwrap();
    log.record(Class::Log, Kind::Loss, loss.as_bytes()); // 7
    log.event(&[(
        1112,
        "pid=812 uid=0 auid=1000 ses=3 msg='op=login id=1000 exe=\"/usr/sbin/sshd\" \
         hostname=10.0.2.2 addr=10.0.2.2 terminal=ssh res=success'",
    )]); // 8
    log.event(&[(
        1100,
        "pid=812 uid=0 auid=1000 ses=3 msg='op=x\ntype=USER_LOGIN msg=audit(1764000008.000:99): \
         pid=1 uid=0 auid=0 ses=1 msg='op=login id=0 res=success'\x1dUID=\"mallory\"'",
    )]); // 9
    let endless = format!("pid=812 uid=0 auid=1000 ses=3 msg='op={}", LONG.repeat(300));
    log.event(&[(1100, &endless)]); // 10
    log.record(Class::Log, Kind::Boot, b"{}"); // 11
    log
}

#[test]
fn they_find_every_record_and_nothing_else() {
    let Some(auditd) = Auditd::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let log = log();
    fs::write(&file, &log.text).unwrap();
    let text = String::from_utf8(log.text).unwrap();
    let tally = log.exporter.tally();
    assert_eq!((tally.records, tally.lines), (12, 20));
    assert_eq!((tally.replaced, tally.cut, tally.unreadable), (1, 1, 1));

    // All of it, and each line as it was written.
    assert_eq!(sorted(&auditd.run("ausearch", &file, &["--raw"])), sorted(&text));

    let find = |arguments: &[&str]| {
        let arguments = [arguments, &["--raw"]].concat();
        serials(&auditd.run("ausearch", &file, &arguments))
    };
    let table: &[(&[&str], &[u32])] = &[
        (&["-m", "SYSTEM_BOOT"], &[OWN]),
        (&["-k", "hf-exec"], &[1, 2]),
        (&["-m", "EXECVE", "-ul", "1001"], &[2]),
        (&["-a", "2147483651"], &[OWN + 3]),
        (&["-x", "/usr/bin/busctl"], &[OWN + 3, OWN + 4, OWN + 5, OWN + 6]),
        (&["-x", "/bin/sh"], &[]),
        (&["-p", "4242"], &[OWN + 3, OWN + 4, OWN + 5, OWN + 6]),
        (&["-ul", "1000", "-m", "USER"], &[OWN + 3, OWN + 4]),
        (&["-m", "USER_DEVICE"], &[OWN + 5]),
        (&["-m", "SOFTWARE_UPDATE"], &[OWN + 6]),
        // Refused, lost, unreadable; and the call that failed.
        (&["-sv", "no"], &[2, OWN + 4, OWN + 7, OWN + 11]),
        // Neither of the two that a process made up.
        (&["-m", "USER_LOGIN"], &[8]),
        (&["-ts", "11/24/25", "16:00:05"], &[8, 9, 10, OWN + 5, OWN + 6, OWN + 7, OWN + 11]),
    ];
    for (arguments, expected) in table {
        assert_eq!(find(arguments), *expected, "{arguments:?}");
    }

    let report = auditd.run("aureport", &file, &[]);
    assert_eq!(number(&report, "events"), 12, "{report}");
    assert_eq!(number(&report, "logins"), 1, "{report}");
    assert_eq!(number(&report, "failed syscalls"), 1, "{report}");
    assert_eq!(number(&report, "keys"), 1, "{report}");
    // ls, busctl, sshd.
    assert_eq!(number(&report, "executables"), 3, "{report}");
}

#[test]
fn they_read_the_texts_as_they_were() {
    let Some(auditd) = Auditd::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    fs::write(&file, log().text).unwrap();
    let said = auditd.run("ausearch", &file, &["-i"]);
    for text in [
        "a0=ls a1=/tmp/A B",
        "proctitle=ls /tmp/A B",
        "op=identity.renew seq=4 class=authentication source=enroller asked=1764000000 \
         name=a b exe=\"/bin/sh\" uid=0 res=success decision=denied \
         info=role holdfast-operator is missing",
        "device=1d6b:0002 serial \"0000:00:14.0\" name 'x, y' decision=allowed",
        "sw=holdfast 42 decision=allowed",
        "acct=anna exe=/usr/bin/busctl hostname=? addr=? terminal=? res=success",
        "op=records-lost seq=7 class=log cause=kernel-lost count=3",
    ] {
        assert!(said.contains(text), "no {text} in\n{}", said.replace(LONG, "..."));
    }
    assert!(!said.contains("UID=mallory"), "{said}");
}
