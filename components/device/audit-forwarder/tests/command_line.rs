//! The program as people call it.
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast-audit")).args(arguments).output();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_shipped_rules_pass_the_lint() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../rootfs-overlay/usr/lib/holdfast/audit.rules"
    );
    let (code, said, errors) = run(&["lint", path]);
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert!(said.contains("together"), "{said}");
}

#[test]
fn rules_that_would_drown_the_log_or_make_no_sense_are_named_by_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rules");
    let lint = |text: &str| {
        std::fs::write(&path, text).unwrap();
        run(&["lint", path.to_str().unwrap()])
    };
    let (code, _, errors) = lint("-w /etc/passwd -p wa\n-a always,exit -F arch=b64 -S write\n");
    assert!(code == 1 && errors.contains("line 2 costs most"), "{code} {errors}");
    let (code, said, errors) = lint("# nothing\n-a always,exit -S nonsense\n");
    assert!(code == 2 && errors.contains("a.rules: line 2"), "{code} {errors}");
    assert_eq!(said, "");
    let missing = folder.path().join("none");
    let (code, _, errors) = run(&["lint", missing.to_str().unwrap()]);
    assert!(code == 2 && errors.contains("cannot read"), "{code} {errors}");
}

#[test]
fn the_daemon_says_which_file_it_does_not_understand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.toml");
    std::fs::write(&path, "when_full = \"sometimes\"\n").unwrap();
    let (code, _, errors) = run(&["--config", path.to_str().unwrap(), "--without-kernel"]);
    assert_eq!(code, 1);
    assert!(errors.contains("audit.toml") && errors.contains("when_full"), "{errors}");
}
