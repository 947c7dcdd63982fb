//! Decisions: conditions, history, unknown time, explanations and the edges of windows.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

mod common;

use std::time::Duration;

use common::{device, noon, policy, time};
use holdfast_usb_rules::{
    Circumstances, Device, Document, History, InterfacePlace, Policy, RuleId, TimeOfDay, Truth,
    Verdict,
};
use proptest::collection::vec;
use proptest::prelude::*;

const DAY: u32 = 86_400;

fn decide(rules: &str, circumstances: &Circumstances<'_>) -> String {
    policy(rules).decide(&device("08:06:50"), circumstances).to_string()
}

#[test]
fn the_first_rule_that_applies_decides() {
    let history = History::default();
    let cases = [
        ("", "block by implicit"),
        ("allow", "allow by rule 1"),
        ("# first\nallow id 1d6b:*\n\nreject id 0781:*\nallow\n", "reject by rule 2"),
        ("allow if false\nblock\n", "block by rule 2"),
        ("allow label \"sticks\" 0781:*\n", ""),
        ("allow 0781:* label \"sticks\"\n", "allow by rule 1 (label \"sticks\")"),
    ];
    for (rules, decision) in cases {
        if decision.is_empty() {
            assert!(Document::parse(rules.as_bytes()).is_err(), "{rules}");
        } else {
            assert_eq!(decide(rules, &noon(&history)), decision, "{rules}");
        }
    }
    let open = Policy::new(&Document::default(), Verdict::Allow);
    let decision = open.decide(&device(""), &noon(&history));
    assert_eq!(
        (decision.verdict, decision.to_string()),
        (Verdict::Allow, "allow by implicit".into())
    );
}

#[test]
fn conditions_are_joined_by_the_operator() {
    let history = History::default();
    let cases = [
        ("true", true),
        ("false", false),
        ("!false", true),
        ("{ true true }", true),
        ("{ true false }", false),
        ("all-of { true !true }", false),
        ("one-of { false true }", true),
        ("one-of { false false }", false),
        ("none-of { false false }", true),
        ("none-of { false true }", false),
        ("equals-ordered { true false !true false }", false),
        ("match-all { true !false }", true),
        // Chance draws 0.3.
        ("random", true),
        ("random(0.3)", false),
        ("random(0.31)", true),
        ("!random(0)", true),
        ("localtime(12:00)", true),
        ("localtime(12:00:01)", false),
        ("localtime(08:00-17:30)", true),
        ("localtime(22:00-06:00)", false),
        ("!localtime(22:00-06:00)", true),
        ("localtime(11:00-10:00)", true),
        ("rule-applied", false),
        ("!rule-evaluated", true),
        ("allowed-matches(0781:*)", false),
    ];
    for (condition, applies) in cases {
        let decision = decide(&format!("allow if {condition}"), &noon(&history));
        assert_eq!(decision == "allow by rule 1", applies, "{condition}");
    }
}

#[test]
fn another_allowed_device_is_found_by_its_attributes() {
    let rules = "allow with-interface one-of { 03:*:* } \
        if !allowed-matches(with-interface one-of { 03:*:* } if false)";
    let policy = policy(rules);
    let (history, keyboard, stick) = (History::default(), device("03:01:01"), device("08:06:50"));
    let decide = |allowed: &[&Device]| {
        policy.decide(&keyboard, &Circumstances { allowed, ..noon(&history) }).verdict
    };
    assert_eq!(decide(&[]), Verdict::Allow);
    assert_eq!(decide(&[&stick]), Verdict::Allow);
    assert_eq!(decide(&[&stick, &keyboard]), Verdict::Block);
}

/// Plugs devices in at these seconds, each judged twice; returns the verdicts.
fn plug(policy: &Policy, seconds: &[u64]) -> Vec<Verdict> {
    let device = device("08:06:50");
    let mut history = History::default();
    let mut verdicts = Vec::new();
    for second in seconds {
        let at = Duration::from_secs(*second);
        let before = history.clone();
        let circumstances = Circumstances { arrived: at, ..noon(&before) };
        let decision = policy.decide(&device, &circumstances);
        policy.record(&decision, at, &mut history);
        // What a device adds to the history does not change the decision about itself.
        assert_eq!(policy.decide(&device, &circumstances), decision);
        verdicts.push(decision.verdict);
    }
    verdicts
}

#[test]
fn rules_look_back_on_what_they_did() {
    use Verdict::{Allow, Block};
    let cases: [(&str, &[u64], &[Verdict]); 5] = [
        // One device, ever.
        ("allow if !rule-applied", &[1, 2, 900], &[Allow, Block, Block]),
        // One device in a minute.
        (
            "allow if !rule-applied(00:01)",
            &[1, 30, 61, 62, 122],
            &[Allow, Block, Block, Allow, Block],
        ),
        // The first one is let in, then only one after a minute without any.
        ("allow if !rule-evaluated(60)", &[1, 30, 80, 141], &[Allow, Block, Block, Allow]),
        ("allow if rule-evaluated", &[1, 2, 3], &[Block, Allow, Allow]),
        // The second rule is not asked while the first one applies.
        ("allow if !rule-applied\nallow if rule-evaluated", &[1, 2, 3], &[Allow, Block, Allow]),
    ];
    for (rules, seconds, verdicts) in cases {
        assert_eq!(plug(&policy(rules), seconds), verdicts, "{rules}");
    }
}

#[test]
fn histories_forget_rules_that_are_gone() {
    let policy = policy("block if rule-applied\nallow if !rule-evaluated");
    let mut history = History::default();
    let before = history.clone();
    let decision = policy.decide(&device(""), &noon(&before));
    policy.record(&decision, Duration::from_secs(5), &mut history);
    assert_eq!(history.evaluated(RuleId(1)), Some(Duration::from_secs(5)));
    assert_eq!(history.applied(RuleId(1)), None);
    assert_eq!(history.applied(RuleId(2)), Some(Duration::from_secs(5)));
    history.retain(|id| id == RuleId(1));
    assert_eq!(history.evaluated(RuleId(2)), None);
    assert!(history.evaluated(RuleId(1)).is_some());
}

#[test]
fn nothing_is_let_in_or_taken_away_while_the_time_is_unknown() {
    let history = History::default();
    let unknown = Circumstances { local_time: None, ..noon(&history) };
    let cases = [
        ("allow if localtime(08:00-17:00)", "block by implicit while the time is unknown"),
        ("allow if !localtime(08:00-17:00)", "block by implicit while the time is unknown"),
        (
            "allow if none-of { localtime(08:00-17:00) }",
            "block by implicit while the time is unknown",
        ),
        ("allow if one-of { true localtime(08:00-17:00) }", "allow by rule 1"),
        ("allow if { false localtime(08:00-17:00) }\nallow", "allow by rule 2"),
        ("block if localtime(22:00-06:00)\nallow", "block by rule 1 while the time is unknown"),
        ("reject if !localtime(22:00-06:00)\nallow", "block by rule 1 while the time is unknown"),
        ("block if { false localtime(22:00-06:00) }\nallow", "allow by rule 2"),
        // Else it would have to be plugged in again once the time is known.
        ("allow if localtime(08:00-17:00)\nreject", "block by rule 2 while the time is unknown"),
        ("allow if false\nreject", "reject by rule 2"),
    ];
    for (rules, decision) in cases {
        assert_eq!(decide(rules, &unknown), decision, "{rules}");
    }
    let policy =
        Policy::new(&Document::parse(b"allow if localtime(08:00)").unwrap(), Verdict::Reject);
    assert_eq!(policy.decide(&device(""), &unknown).verdict, Verdict::Block);
    assert_eq!(policy.next_change(&device(""), &unknown), None);
}

#[test]
fn explanations_go_up_to_the_rule_that_decides() {
    let history = History::default();
    let policy = policy(
        "allow id 1d6b:* name \"Ultra\"\n\
         allow id 0781:* if { true localtime(13:00-14:00) }\n\
         block with-interface one-of { 08:*:* }\n\
         reject\n",
    );
    let explanations = policy.explain(&device("08:06:50"), &noon(&history));
    let shown: Vec<_> = explanations.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "rule 1 does not apply: allow id 1d6b:* name \"Ultra\"\n  \
             id: the rule wants 1d6b:*, the device has 0781:5581",
            "rule 2 does not apply: allow id 0781:* if { true localtime(13:00-14:00) }\n  \
             if true: true\n  if localtime(13:00-14:00): false",
            "rule 3 applies: block with-interface one-of { 08:*:* }",
        ]
    );
    assert_eq!(explanations[1].conditions[1].1, Truth::False);
}

#[test]
fn interfaces_are_permitted_one_by_one() {
    let policy = policy(
        "allow interface-policy block { block 03:*:* index 2 allow 03:*:* allow 08:06:50 configuration 1 }",
    );
    let history = History::default();
    let decision = policy.decide(&device("03:01:01 08:06:50"), &noon(&history));
    let interfaces = decision.interface_policy().unwrap();
    let permits = |configuration, index, settings: &str| {
        let settings: Vec<_> = settings.split_whitespace().map(common::interface).collect();
        interfaces.permits(InterfacePlace { configuration, index }, &settings)
    };
    assert!(permits(1, 0, "03:01:01"));
    assert!(!permits(1, 2, "03:01:01"));
    assert!(permits(1, 1, "08:06:50"));
    assert!(!permits(2, 1, "08:06:50"));
    assert!(!permits(1, 1, "e0:01:01"));
    // An alternate setting that is not allowed comes with the interface.
    assert!(!permits(1, 0, "03:01:01 e0:01:01"));
    assert!(!permits(1, 0, ""));
}

#[test]
fn the_next_edge_is_one_that_changes_something() {
    let history = History::default();
    let seconds = |rules: &str, at: TimeOfDay| {
        let circumstances = Circumstances { local_time: Some(at), ..noon(&history) };
        policy(rules).next_change(&device("08:06:50"), &circumstances).map(|d| d.as_secs())
    };
    let cases = [
        ("allow", time(12, 0, 0), None),
        ("allow if localtime(08:00-17:00)", time(7, 0, 0), Some(3600)),
        ("allow if localtime(08:00-17:00)", time(16, 59, 59), Some(2)),
        ("allow if localtime(08:00-17:00)", time(17, 0, 0), Some(1)),
        ("allow if localtime(22:00-06:00)", time(23, 0, 0), Some(7 * 3600 + 1)),
        ("allow if localtime(12:00)", time(12, 0, 0), Some(1)),
        ("allow if localtime(12:00)", time(12, 0, 1), Some(u64::from(DAY) - 1)),
        // Always open.
        ("allow if localtime(00:00-23:59:59)", time(12, 0, 0), None),
        // Not this device, and behind a rule that always decides.
        ("allow 1d6b:* if localtime(08:00-17:00)", time(7, 0, 0), None),
        ("block\nallow if localtime(08:00-17:00)", time(7, 0, 0), None),
        // The window does not matter as long as the other condition does not hold.
        ("allow if { false localtime(08:00-17:00) }", time(7, 0, 0), None),
    ];
    for (rules, at, expected) in cases {
        assert_eq!(seconds(rules, at), expected, "{rules} at {at}");
    }
}

/// Conditions of windows with edges on a few minutes, so that they meet.
fn windowed_rule() -> impl Strategy<Value = String> {
    let edge = || (0..24_u32).prop_map(|n| format!("{:02}:{:02}", n / 4 * 4, n % 4));
    let condition = (any::<bool>(), edge(), edge())
        .prop_map(|(not, a, b)| format!("{}localtime({a}-{b})", if not { "!" } else { "" }));
    let operator = prop_oneof![Just("all-of"), Just("one-of"), Just("none-of")];
    let target = prop_oneof![Just("allow"), Just("block"), Just("reject")];
    (target, operator, vec(condition, 0..3)).prop_map(|(target, operator, conditions)| {
        match conditions.as_slice() {
            [] => target.to_owned(),
            some => format!("{target} if {operator} {{ {} }}", some.join(" ")),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_change_comes_before_the_next_edge(
        rules in vec(windowed_rule(), 1..4),
        start in 0..DAY,
    ) {
        let policy = policy(&rules.join("\n"));
        let (history, device) = (History::default(), device("08:06:50"));
        let at = |second: u32| Circumstances {
            local_time: TimeOfDay::from_seconds((start + second) % DAY),
            ..noon(&history)
        };
        let now = policy.decide(&device, &at(0));
        let first = (1..=DAY).find(|second| policy.decide(&device, &at(*second)) != now);
        let next = policy.next_change(&device, &at(0));
        prop_assert_eq!(next, first.map(|second| Duration::from_secs(second.into())));
    }
}
