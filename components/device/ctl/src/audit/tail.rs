//! `holdfast audit tail`.

use std::time::Duration;

use holdfast_audit_log::frame::{Decoded, Kind};
use holdfast_audit_log::show::{Record, line};
use holdfast_audit_log::{AuditRecord, Hash};
use zbus::Connection;

use super::pages::Pages;
use super::status;
use crate::{Code, Failure, cli};

/// How often it is looked whether there are new records.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(
    bus: &Connection,
    lines: u64,
    follow: bool,
    json: bool,
) -> Result<Code, Failure> {
    // To ask for the state is no record, to read the log is one.
    let (state, _) = status::ask(bus).await?;
    let mut tail = Tail { next: state.size.saturating_sub(lines), json, unseen: 0, is_whole: true };
    loop {
        tail.print(bus).await?;
        if !follow {
            return Ok(if tail.is_whole { Code::Ok } else { Code::Failed });
        }
        // The looks of this command are no reason to look again.
        tokio::time::sleep(LOOK).await;
        while status::ask(bus).await?.0.size <= tail.next + tail.unseen {
            tokio::time::sleep(LOOK).await;
        }
    }
}

struct Tail {
    /// Sequence number of the next record to print.
    next: u64,
    json: bool,
    /// Records of this command's own looks at the log that lie behind `next`.
    unseen: u64,
    /// Every record could be read.
    is_whole: bool,
}

impl Tail {
    /// Prints what is there from the next record on.
    async fn print(&mut self, bus: &Connection) -> Result<(), Failure> {
        let mut pages = Pages::since(bus, self.next).await?;
        loop {
            let segments = pages.next().await?;
            self.unseen += 1;
            if segments.is_empty() {
                return Ok(());
            }
            for segment in segments {
                let is_whole = segment.each(|decoded, hash| self.record(decoded, hash))?;
                self.is_whole &= is_whole;
            }
        }
    }

    fn record(&mut self, decoded: &Decoded<'_>, hash: Hash) -> Result<(), Failure> {
        let frame = &decoded.frame;
        if frame.sequence < self.next {
            return Ok(());
        }
        self.next = frame.sequence + 1;
        if frame.kind == Kind::Operation && is_own_look(frame.payload) {
            self.unseen = self.unseen.saturating_sub(1);
            Ok(())
        } else if self.json {
            cli::print_json(&Record::of(decoded, hash))
        } else {
            cli::print(&line(frame))
        }
    }
}

/// Whether a record is of a look of this very process at the log.
fn is_own_look(payload: &[u8]) -> bool {
    let text = str::from_utf8(payload).ok();
    let record = text.and_then(|text| AuditRecord::from_json(text).ok());
    record.is_some_and(|record| {
        record.action().as_str() == "audit.export" && record.actor().pid == Some(std::process::id())
    })
}
