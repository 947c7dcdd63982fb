//! What the parser takes, how it prints it, and where it says an error is.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use holdfast_usb_rules::{Document, Rule, Target};

#[test]
fn rules_are_printed_in_canonical_form() {
    let cases = [
        ("allow", "allow"),
        ("  block\t", "block"),
        ("reject#all", "reject"),
        ("match 1d6b:*", "match id 1d6b:*"),
        ("device *:*", "device id *:*"),
        ("allow id Ef0E:aAaA", "allow id Ef0E:aAaA"),
        ("allow id { 1d6b:0002 }", "allow id 1d6b:0002"),
        ("allow id one-of {1d6b:0002\t1d6b:0003}", "allow id one-of { 1d6b:0002 1d6b:0003 }"),
        ("allow id equals { 1d6b:0002 1d6b:* }", "allow id { 1d6b:0002 1d6b:* }"),
        ("allow with-interface AE:c1:*", "allow with-interface ae:c1:*"),
        ("allow with-interface match-all { 09:*:* }", "allow with-interface match-all { 09:*:* }"),
        (r#"allow name "a\"b\\c\x1b\xFFd""#, r#"allow name "a\"b\\c\x1b\xffd""#),
        ("allow name \"Maus \u{e9}\t\"", r#"allow name "Maus \xc3\xa9\x09""#),
        (r#"allow label "l" via-port "v" if true serial "s" with-interface 03:01:01 id 1:2"#, ""),
        (
            r#"allow label "l" via-port "v" if true serial "s" with-connect-type "hotplug" parent-hash "p" with-interface 03:01:01 name "n" hash "h" id 0001:0002"#,
            r#"allow id 0001:0002 serial "s" name "n" hash "h" parent-hash "p" via-port "v" with-interface 03:01:01 if true with-connect-type "hotplug" label "l""#,
        ),
        ("allow if !localtime(2:00)", "allow if !localtime(2:00)"),
        ("allow if {random(0.4)}", "allow if random(0.4)"),
        (
            "block if none-of { rule-applied rule-evaluated(00:05) !false }",
            "block if none-of { rule-applied rule-evaluated(00:05) !false }",
        ),
        (
            r#"allow if !allowed-matches( 1d6b:0002  name "a(b" )"#,
            r#"allow if !allowed-matches( 1d6b:0002  name "a(b" )"#,
        ),
        (
            "allow interface-policy block {allow 03:01:* index 0 configuration 1 block 08:06:50}",
            "allow interface-policy block { allow 03:01:* index 0 configuration 1 block 08:06:50 }",
        ),
    ];
    for (text, canonical) in cases {
        let rule: Result<Rule, _> = text.parse();
        if canonical.is_empty() {
            assert!(rule.is_err(), "{text}");
            continue;
        }
        let rule = rule.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(rule.to_string(), canonical, "{text}");
        assert_eq!(canonical.parse(), Ok(rule), "{text}");
    }
}

#[test]
fn errors_say_the_column() {
    let cases = [
        ("", 1, "is empty"),
        ("# nothing", 1, "is empty"),
        ("alloww", 1, r#"unknown target "alloww""#),
        ("  Allow", 3, r#"unknown target "Allow""#),
        ("allow allow", 7, r#"unknown attribute "allow""#),
        ("allow { }", 7, "expected an attribute"),
        ("allow seriall \"a\"", 7, r#"unknown attribute "seriall""#),
        ("allow id 1234:123", 10, "expected a device ID"),
        ("allow 1234:12345", 16, "expected a blank"),
        ("allow *:1234", 13, "without its vendor ID"),
        ("allow 1234:1234 id 1234:1234", 17, "id is there twice"),
        ("allow label \"a\" label \"b\"", 17, "label is there twice"),
        ("allow name", 11, "expected a blank after name"),
        ("allow name ", 12, "found the end of the rule"),
        ("allow name \"a", 12, "no closing '\"'"),
        ("allow name \"a\\", 14, "unknown escape sequence"),
        (r#"allow name "a\n""#, 14, r#"unknown escape sequence "\\n""#),
        (r#"allow name "\x4""#, 13, "unknown escape sequence"),
        (r#"allow name "a"b"#, 15, "expected a blank"),
        (r#"allow name { "a""b" }"#, 17, "expected a blank and the next value"),
        ("allow name { }", 12, "the set is empty"),
        ("allow name one-of", 12, "after the set operator one-of"),
        ("allow name one-of{ \"a\" }", 12, "after the set operator one-of"),
        ("allow name some { \"a\" }", 12, r#"unknown set operator "some""#),
        ("allow with-interface *:*:*", 22, "expected an interface type"),
        ("allow with-interface 12:*:34", 29, "without its subclass"),
        ("allow if !", 10, "expected a condition"),
        ("allow if randomm", 10, r#"unknown condition "randomm""#),
        ("allow if random(", 16, "no closing \")\""),
        ("allow if random(2)", 17, "number from 0 to 1"),
        ("allow if true(1)", 15, "takes no argument"),
        ("allow if localtime", 10, "needs a time"),
        ("allow if !localtime(25:00)", 21, "needs a time"),
        ("allow if rule-applied(x)", 23, "needs a duration"),
        ("allow if allowed-matches", 10, "needs a query"),
        ("allow if allowed-matches(nam \"a\")", 26, "unknown attribute \"nam\""),
        ("block interface-policy block { allow 03:*:* }", 7, "target allow only"),
        ("allow interface-policy { allow 03:*:* }", 24, "expected allow or block"),
        ("allow interface-policy block { }", 30, "the set is empty"),
        ("allow interface-policy block { 03:*:* }", 32, "expected allow or block"),
        ("allow interface-policy block { allow 03:*:* index 256 }", 51, "from 0 to 255"),
        ("allow\r", 6, "line break"),
        ("allow\nblock", 6, "line break"),
        ("allow name \"\u{e9}\u{e9}\" x", 17, r#"unknown attribute "x""#),
    ];
    for (text, column, message) in cases {
        let error = text.parse::<Rule>().expect_err(text);
        let shown = error.to_string();
        assert!(shown.contains(message), "{text}: {shown}");
        assert_eq!((error.line, error.column), (1, column), "{text}: {shown}");
    }
}

#[test]
fn at_most_64_conditions_are_taken() {
    let rule = |count| format!("allow if {{ {}}}", "true ".repeat(count)).parse::<Rule>();
    assert!(rule(64).is_ok());
    let error = rule(65).unwrap_err();
    assert_eq!(error.to_string(), "line 1, column 7: more than 64 conditions");
}

#[test]
fn queries_need_no_target() {
    let cases = [
        ("with-interface one-of { 08:*:* }", "match with-interface one-of { 08:*:* }"),
        ("1d6b:*", "match id 1d6b:*"),
        (" 1d6b:* name \"a\"", "match id 1d6b:* name \"a\""),
        ("match", "match"),
        ("allow name \"a\"", "allow name \"a\""),
    ];
    for (text, canonical) in cases {
        let rule = Rule::parse_query(text.as_bytes()).unwrap();
        assert_eq!(rule.to_string(), canonical);
    }
    for bad in ["", "foo", "name \"a\" 1d6b:*", "1d6b:* 1d6b:*"] {
        assert!(Rule::parse_query(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert_eq!(Rule::parse_query(b"device").unwrap().target, Target::Device);
}

#[test]
fn a_file_is_refused_with_all_its_errors() {
    let text = b"# mine\nallow\n\nalow\n  block nam \"a\" # why\nmatch\n";
    let errors = Document::parse(text).unwrap_err();
    let places: Vec<_> = errors.as_slice().iter().map(|e| (e.line, e.column)).collect();
    assert_eq!(places, [(4, 1), (5, 9), (6, 1)]);
    let shown = errors.to_string();
    assert!(shown.starts_with("line 4, column 1: unknown target \"alow\""), "{shown}");
    assert!(shown.ends_with("a rule of a policy is allow, block or reject"), "{shown}");
}

#[test]
fn conditions_of_a_query_are_read() {
    // They are not asked, as USBGuard's manual says.
    let rule: Rule = "allow if allowed-matches(id 1d6b:0002 if false)".parse().unwrap();
    assert_eq!(rule.to_string(), "allow if allowed-matches(id 1d6b:0002 if false)");
}
