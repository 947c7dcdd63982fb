//! Edits of a rules file.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

mod common;

use holdfast_usb_rules::{Document, EditError, Position, Rule, RuleId};
use proptest::collection::vec;
use proptest::prelude::*;

const FILE: &str = "\
# Site rules, 2025\n\
\n\
allow  id 1d6b:0002   # root hubs\n\
\t# the printer\n\
  allow id 04f9:* via-port \"1-2\"\n\
reject";

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

fn text(document: &Document) -> String {
    String::from_utf8(document.to_bytes()).unwrap()
}

#[test]
fn a_file_comes_back_as_it_is() {
    let document = Document::parse(FILE.as_bytes()).unwrap();
    assert_eq!(text(&document), FILE);
    let rules: Vec<_> = document.rules().map(|(id, rule)| format!("{id} {rule}")).collect();
    assert_eq!(rules, ["1 allow id 1d6b:0002", "2 allow id 04f9:* via-port \"1-2\"", "3 reject"]);
    assert_eq!(document.line_number(RuleId(2)), Some(5));
    assert_eq!(document.line_number(RuleId(4)), None);
    assert_eq!(document.get(RuleId(3)), Some(&rule("reject")));
}

#[test]
fn comments_may_be_of_any_bytes() {
    let file = b"# caf\xe9\r\n\x00"; // Latin-1 in a comment is fine; a NUL as a rule is not.
    assert!(Document::parse(file).is_err());
    let file = b"# caf\xe9\r\nallow # \xff\r\n";
    assert_eq!(Document::parse(file).unwrap().to_bytes(), file);
}

#[test]
fn rules_are_put_in_where_they_belong() {
    let new = rule("block id  0781:*");
    let cases = [
        (Position::First, FILE.replace("allow  id", "block id 0781:*\nallow  id")),
        (Position::After(RuleId(1)), FILE.replace("root hubs\n", "root hubs\nblock id 0781:*\n")),
        // The last line had no end of its own.
        (Position::After(RuleId(3)), format!("{FILE}\nblock id 0781:*\n")),
        (Position::Last, format!("{FILE}\nblock id 0781:*\n")),
    ];
    for (position, expected) in cases {
        let mut document = Document::parse(FILE.as_bytes()).unwrap();
        let id = document.insert(&new, position).unwrap();
        assert_eq!(id, RuleId(4));
        assert_eq!(text(&document), expected, "{position:?}");
        assert_eq!(document.get(id), Some(&new));
    }
}

#[test]
fn ids_stay_and_are_not_given_out_again() {
    let mut document = Document::default();
    let first = document.append(&rule("allow")).unwrap();
    let second = document.append(&rule("block")).unwrap();
    document.remove(second).unwrap();
    let third = document.insert(&rule("reject"), Position::First).unwrap();
    assert_eq!([first, second, third], [1, 2, 3].map(RuleId));
    assert_eq!(text(&document), "reject\nallow\n");
    assert_eq!(document.remove(second), Err(EditError::NoSuchRule(second)));
}

#[test]
fn removing_takes_the_line_alone() {
    let mut document = Document::parse(FILE.as_bytes()).unwrap();
    assert_eq!(document.remove(RuleId(1)), Ok(rule("allow 1d6b:0002")));
    assert_eq!(text(&document), FILE.replace("allow  id 1d6b:0002   # root hubs\n", ""));
}

#[test]
fn replacing_keeps_id_and_comment() {
    let mut document = Document::parse(FILE.as_bytes()).unwrap();
    document.replace(RuleId(1), &rule("block")).unwrap();
    document.replace(RuleId(3), &rule("allow")).unwrap();
    let expected = FILE.replace("allow  id 1d6b:0002", "block").replace("reject", "allow");
    assert_eq!(text(&document), expected);
    document.replace(RuleId(1), &rule("block name \"#\"")).unwrap();
    assert_eq!(text(&document), expected.replace("block ", "block name \"#\" "));
}

#[test]
fn rules_that_no_file_can_have_are_refused() {
    let mut document = Document::parse(FILE.as_bytes()).unwrap();
    let before = document.clone();
    let query = rule("match id 0781:*");
    let mut contradiction = rule("allow interface-policy block { allow 03:*:* }");
    contradiction.target = holdfast_usb_rules::Target::Block;
    for bad in [query, contradiction] {
        assert!(matches!(document.append(&bad), Err(EditError::Rule(_))), "{bad}");
        assert!(matches!(document.replace(RuleId(1), &bad), Err(EditError::Rule(_))), "{bad}");
    }
    let nowhere = document.insert(&rule("allow"), Position::After(RuleId(9)));
    assert_eq!(nowhere, Err(EditError::NoSuchRule(RuleId(9))));
    assert_eq!(document, before);
}

#[test]
fn an_oversized_file_is_refused() {
    let error = Document::parse(&vec![b'#'; 9 << 20]).unwrap_err();
    assert!(error.to_string().contains("over the limit of 8388608"), "{error}");
}

#[derive(Debug, Clone)]
enum Edit {
    Insert(u32),
    Append,
    Remove(u32),
    Replace(u32),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let id = || 0..12_u32;
    let edit = prop_oneof![
        id().prop_map(Edit::Insert),
        Just(Edit::Append),
        id().prop_map(Edit::Remove),
        id().prop_map(Edit::Replace),
    ];
    vec(edit, 0..12)
}

proptest! {
    /// What is written is what is in force, and comments outlive every edit.
    #[test]
    fn the_written_file_has_the_edited_rules(
        lines in vec(prop_oneof![Just("# note\n"), Just("\n"), Just("allow # a\n"), Just("block\n")], 0..8),
        edits in edits(),
    ) {
        let file = lines.concat();
        let notes = lines.iter().filter(|line| **line == "# note\n").count();
        let mut document = Document::parse(file.as_bytes()).unwrap();
        for (index, edit) in edits.into_iter().enumerate() {
            let new = rule(&format!("reject via-port \"{index}\""));
            let _ = match edit {
                Edit::Insert(id) => document.insert(&new, Position::After(RuleId(id))).map(drop),
                Edit::Append => document.append(&new).map(drop),
                Edit::Remove(id) => document.remove(RuleId(id)).map(drop),
                Edit::Replace(id) => document.replace(RuleId(id), &new),
            };
        }
        let again = Document::parse(&document.to_bytes()).unwrap();
        let rules = |document: &Document| {
            document.rules().map(|(_, rule)| rule.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(rules(&again), rules(&document));
        prop_assert_eq!(text(&document).matches("# note\n").count(), notes);
    }
}
