//! The program `usb-rule-parser`.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;

/// Status, standard output, standard error.
fn run(arguments: &[&OsStr]) -> (i32, String, String) {
    let program = env!("CARGO_BIN_EXE_usb-rule-parser");
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn rule(text: &str) -> (i32, String, String) {
    run(&[text.as_ref()])
}

#[test]
fn a_rule_is_shown_in_canonical_form() {
    let (status, output, _) = rule("allow  1d6b:0002 #hub");
    assert_eq!(
        (status, output.as_str()),
        (0, "INPUT: allow  1d6b:0002 #hub\nOUTPUT: allow id 1d6b:0002\n")
    );
    let (status, output, _) = rule("# only a comment");
    assert_eq!((status, output.as_str()), (0, "INPUT: # only a comment\n"));
    let (status, output, _) = rule("match id 1d6b:*");
    assert_eq!((status, output.ends_with("OUTPUT: match id 1d6b:*\n")), (0, true));
}

#[test]
fn a_bad_rule_is_an_error() {
    let (status, _, error) = rule("allow nam \"a\"");
    assert_eq!(status, 1);
    assert!(error.starts_with("line 1, column 7: unknown attribute \"nam\""), "{error}");
    let (status, _, _) = run(&[OsStr::from_bytes(b"allow \xff")]);
    assert_eq!(status, 1);
}

#[test]
fn a_wrong_call_shows_the_usage() {
    for arguments in [&[][..], &["allow".as_ref(), "block".as_ref()]] {
        let (status, _, error) = run(arguments);
        assert_eq!(status, 2);
        assert!(error.starts_with("Usage: "), "{error}");
    }
    let (status, output, _) = run(&["--help".as_ref()]);
    assert_eq!((status, output.starts_with("Usage: ")), (0, true));
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_file_is_shown_rule_by_rule() {
    let path = file("good.conf", "\n# sticks\n allow  0781:* # mine\n\nreject");
    let (status, output, _) = run(&["-f".as_ref(), path.as_ref()]);
    assert_eq!(status, 0);
    assert_eq!(
        output,
        "INPUT:  allow  0781:* # mine\nOUTPUT: allow id 0781:*\nINPUT: reject\nOUTPUT: reject\n"
    );
}

#[test]
fn every_error_of_a_file_is_listed() {
    let path = file("bad.conf", "alow\nallow\nblock foo\n");
    let (status, output, error) = run(&["-f".as_ref(), path.as_ref()]);
    assert_eq!((status, output.as_str()), (1, ""));
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[1].contains("bad.conf: line 3, column 7: unknown attribute \"foo\""), "{error}");
    let (status, _, error) = run(&["-f".as_ref(), "/nowhere/rules.conf".as_ref()]);
    assert_eq!(status, 1);
    assert!(error.starts_with("cannot read /nowhere/rules.conf: "), "{error}");
}
