//! An event as kernels write it, for benches.

use super::{EventBuffer, EventId, Message, MessageType};

/// A program that a user starts: its messages in order, each without its prefix, the end of the event
/// among them.
pub fn execution(serial: u32) -> Vec<(MessageType, String)> {
    let pid = 300 + serial % 30_000;
    vec![
        (
            MessageType::SYSCALL,
            format!(
                "arch=c000003e syscall=59 success=yes exit=0 a0=55d0c3a8f2b0 a1=55d0c3a8f2e0 \
                 a2=55d0c3a90010 a3=8 items=2 ppid=1 pid={pid} auid=1000 uid=0 gid=0 euid=0 suid=0 \
                 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm=\"ls\" exe=\"/usr/bin/ls\" \
                 subj=unconfined key=\"hf-exec\""
            ),
        ),
        (MessageType::EXECVE, format!("argc=3 a0=\"ls\" a1=\"-l\" a2=\"/var/lib/{serial}\"")),
        (MessageType::CWD, "cwd=\"/root\"".to_owned()),
        (
            MessageType::PATH,
            "item=0 name=\"/usr/bin/ls\" inode=1042 dev=fe:00 mode=0100755 ouid=0 ogid=0 \
             rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
                .to_owned(),
        ),
        (MessageType::PROCTITLE, "proctitle=6C73002D6C002F7661722F6C6962".to_owned()),
        (MessageType::EOE, String::new()),
    ]
}

/// The same event as it is kept in the log.
pub fn kept_execution(serial: u32) -> Vec<u8> {
    let mut event = EventBuffer::new(EventId { seconds: 1_800_000_000, milliseconds: 0, serial });
    for (kind, text) in execution(serial) {
        if kind != MessageType::EOE {
            event.push(Message { kind, text: text.as_bytes() });
        }
    }
    event.event().as_payload().to_vec()
}
