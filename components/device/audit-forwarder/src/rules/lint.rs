//! How many events rules may cause, before a device shows it.
//!
//! An estimate of orders of magnitude: what a small device with a few services does per second when
//! it is busy, cut down by what the rule asks for. Its use is to catch the rule that would drown the
//! log: one about reading, writing or opening that nothing narrows.

use super::{Field, List, Operator, Rule, Rules};

/// Events per second that a file of rules may cause.
const BUDGET: f64 = 500.0;

/// System calls per second of a busy device, for those that programs live on.
const RATES: [(&str, f64); 22] = [
    ("read", 50_000.0),
    ("write", 20_000.0),
    ("futex", 30_000.0),
    ("recvmsg", 10_000.0),
    ("sendmsg", 5_000.0),
    ("sendto", 5_000.0),
    ("recvfrom", 5_000.0),
    ("openat", 5_000.0),
    ("open", 5_000.0),
    ("close", 10_000.0),
    ("stat", 5_000.0),
    ("newfstatat", 5_000.0),
    ("mmap", 5_000.0),
    ("connect", 200.0),
    ("socket", 300.0),
    ("accept4", 100.0),
    ("bind", 20.0),
    ("execve", 50.0),
    ("clone", 100.0),
    ("unlink", 50.0),
    ("rename", 50.0),
    ("kill", 20.0),
];
/// Of a system call that is not listed: programs start, stop and are administered with it.
const SELDOM: f64 = 5.0;
/// All system calls together.
const ALL: f64 = 200_000.0;

/// What a file of rules may cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Line and events per second of each rule that records.
    pub rules: Vec<(usize, f64)>,
    /// Of all together.
    pub total: f64,
    /// Whether that is bearable.
    pub verdict: Verdict,
}

/// Whether rules may be shipped.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// They may.
    Good,
    /// They may not: the line that costs most.
    TooMany {
        /// Line of the most expensive rule.
        line: usize,
    },
}

/// Estimates what rules cost.
pub fn estimate(rules: &Rules) -> Estimate {
    let recorded = rules.rules.iter().filter(|rule| rule.is_recorded && rule.list != List::Exclude);
    let rates: Vec<(usize, f64)> = recorded.map(|rule| (rule.line, rate(rule))).collect();
    let total = rates.iter().map(|(_, rate)| rate).sum();
    let worst = rates.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(line, _)| *line);
    let verdict = match worst {
        Some(line) if total > BUDGET => Verdict::TooMany { line },
        _ => Verdict::Good,
    };
    Estimate { rules: rates, total, verdict }
}

fn rate(rule: &Rule) -> f64 {
    let base = if rule.syscalls.is_some() {
        rule.syscall_names.iter().map(|name| rate_of(name)).sum()
    } else {
        ALL
    };
    base * rule_share(rule)
}

fn rate_of(name: &str) -> f64 {
    RATES.iter().find(|(known, _)| *known == name).map_or(SELDOM, |(_, rate)| *rate)
}

/// Which part of the calls the fields leave.
fn rule_share(rule: &Rule) -> f64 {
    let mut share = 1.0;
    for (field, operator, _) in &rule.fields {
        let narrows = *operator != Operator::NotEqual;
        share *= match field {
            Field::Watch | Field::Exe if narrows => 0.0001,
            Field::Directory if narrows => 0.001,
            Field::Exit | Field::Success if narrows => 0.01,
            Field::LoginUid | Field::SessionId | Field::Uid | Field::Euid => 0.5,
            Field::A0 | Field::A1 | Field::A2 | Field::A3 if narrows => 0.05,
            Field::Perm if rule.syscalls.is_none() => 0.1,
            _ => 1.0,
        };
    }
    // Reading and running happen all the time, writing and changing seldom.
    if let Some((_, mask)) = rule.number_of(Field::Perm)
        && mask & 0b0101 == 0
    {
        share *= 0.05;
    }
    share
}
