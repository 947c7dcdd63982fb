//! For any rule and any bytes.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use holdfast_usb_rules::{Document, Rule};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// A string as somebody may write it.
fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[ -!#-\\[\\]-~]{0,6}",
        Just("\\\"".to_owned()),
        Just("\\\\".to_owned()),
        any::<u8>().prop_map(|byte| format!("\\x{byte:02X}")),
        Just("\u{e9}\t".to_owned()),
    ];
    vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![Just("*:*".to_owned()), "[0-9a-fA-F]{4}:\\*", "[0-9a-fA-F]{4}:[0-9a-fA-F]{4}"]
}

fn interface() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9a-fA-F]{2}:\\*:\\*",
        "[0-9a-fA-F]{2}:[0-9a-fA-F]{2}:\\*",
        "[0-9a-fA-F]{2}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}"
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let time = || "(2[0-3]|[01]?[0-9]):[0-5][0-9](:[0-5][0-9])?";
    let test = prop_oneof![
        select(vec!["true", "false", "random", "rule-applied", "rule-evaluated"])
            .prop_map(str::to_owned),
        time().prop_map(|at| format!("localtime({at})")),
        (time(), time()).prop_map(|(from, to)| format!("localtime({from}-{to})")),
        (0.0..=1.0_f64).prop_map(|p| format!("random({p})")),
        time().prop_map(|elapsed| format!("rule-applied({elapsed})")),
        (0..100_000_u32).prop_map(|seconds| format!("rule-evaluated({seconds})")),
        interface().prop_map(|kind| format!("allowed-matches(with-interface one-of {{ {kind} }})")),
    ];
    ("!?", test).prop_map(|(not, test)| format!("{not}{test}"))
}

/// One value, or a set of them with any operator.
fn values(value: impl Strategy<Value = String> + Clone + 'static) -> BoxedStrategy<String> {
    let operator =
        "((all-of|one-of|none-of|equals|equals-ordered|match-all)[ \t]{1,2})?\\{[ \t]{0,2}";
    let set = (operator, vec(value.clone(), 1..4), "[ \t]{0,2}\\}")
        .prop_map(|(open, values, close)| format!("{open}{}{close}", values.join(" ")));
    prop_oneof![value, set].boxed()
}

fn attribute(name: &'static str) -> BoxedStrategy<String> {
    let values = match name {
        "id" => values(id().boxed()),
        "with-interface" => values(interface().boxed()),
        "if" => values(condition().boxed()),
        _ => values(string().boxed()),
    };
    ("[ \t]{1,2}", values)
        .prop_map(move |(blanks, values)| format!("{name}{blanks}{values}"))
        .boxed()
}

/// A rule as somebody may write it.
fn rule_text() -> impl Strategy<Value = String> {
    let names = vec![
        "id",
        "serial",
        "name",
        "hash",
        "parent-hash",
        "via-port",
        "with-interface",
        "if",
        "with-connect-type",
        "label",
    ];
    let attributes = subsequence(names, 0..=5)
        .prop_shuffle()
        .prop_flat_map(|names| names.into_iter().map(attribute).collect::<Vec<_>>());
    let interfaces = prop_oneof![
        Just(String::new()),
        vec(
            (
                select(vec!["allow", "block"]),
                interface(),
                "( index [0-9]{1,2})?( configuration [1-9])?"
            ),
            1..4
        )
        .prop_map(|rules| {
            let rules: Vec<_> = rules
                .into_iter()
                .map(|(word, kind, place)| format!("{word} {kind}{place}"))
                .collect();
            format!(" interface-policy block {{ {} }}", rules.join(" "))
        }),
    ];
    (select(vec!["allow", "block", "reject"]), attributes, interfaces, "( *#.*)?").prop_map(
        |(target, attributes, interfaces, comment)| {
            let interfaces = if target == "allow" { interfaces } else { String::new() };
            let all = attributes.iter().fold(target.to_owned(), |all, one| format!("{all} {one}"));
            format!("{all}{interfaces}{comment}")
        },
    )
}

proptest! {
    #[test]
    fn a_printed_rule_is_the_same_rule(text in rule_text()) {
        let rule: Rule = match text.parse() {
            Ok(rule) => rule,
            Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
        };
        let printed = rule.to_string();
        let again: Rule = printed.parse().unwrap();
        prop_assert_eq!(&again, &rule);
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn a_file_of_rules_comes_back_as_it_is(rules in vec(rule_text(), 0..5)) {
        let file = rules.join("\n");
        let document = Document::parse(file.as_bytes()).unwrap();
        prop_assert_eq!(document.rules().count(), rules.len());
        prop_assert_eq!(document.to_bytes(), file.as_bytes());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        let _ = Rule::parse(&bytes);
        let _ = Rule::parse_query(&bytes);
        let _ = Document::parse(&bytes);
    }

    /// Errors point into the line they are about.
    #[test]
    fn a_damaged_rule_is_read_or_its_error_is_in_it(
        text in rule_text(),
        place in any::<prop::sample::Index>(),
        change in prop_oneof![Just(None), any::<u8>().prop_map(Some)],
    ) {
        let mut bytes = text.into_bytes();
        let place = place.index(bytes.len());
        match change {
            Some(byte) => bytes[place] = byte,
            None => bytes.truncate(place),
        }
        match Rule::parse(&bytes) {
            Ok(rule) => prop_assert_eq!(Rule::parse(rule.to_string().as_bytes()), Ok(rule)),
            Err(error) => prop_assert!(error.column <= bytes.len() + 1, "{}", error),
        }
    }
}
