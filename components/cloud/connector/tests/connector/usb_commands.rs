//! `holdfast-cloud usb …`

use std::path::Path;

use crate::support::process::{program, serve};

const EK: &str = "abababababababababababababababababababababababababababababababab";

/// What a command says, on both streams, and its exit code.
fn said(data: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let output = program(data).args(arguments).output().unwrap();
    let streams = [output.stdout, output.stderr].concat();
    (String::from_utf8(streams).unwrap(), output.status.code())
}

fn done(data: &Path, arguments: &[&str]) -> String {
    let (text, code) = said(data, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {text}");
    text
}

#[test]
fn policies_are_set_from_files_shown_and_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let _server = serve(&data);
    let owner = ["--tenant", "demo"];
    done(&data, &[&["group", "set", "lab", "--quote", "enforce"][..], &owner].concat());
    let register = ["device", "register", "SN-1", "--ek-sha256", EK, "--group", "lab"];
    done(&data, &[&register[..], &owner].concat());
    let file = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (rules, ports) = (file("rules.conf", b"allow 1d6b:*\n"), file("ports.conf", b"used *\n"));
    let policy = |verb: &str, more: &[&str]| {
        said(&data, &[&["usb", "policy", verb][..], more, &["--tenant", "demo"]].concat())
    };

    let (set, _) = policy("set", &["--group", "lab", "--rules", &rules]);
    assert!(set.starts_with("lab  version 1  rules  "), "{set}");
    let (set, _) = policy("set", &["--device", "sn-1", "--ports", &ports]);
    assert!(set.starts_with("sn-1  version 1  ports  "), "{set}");
    let (shown, code) = policy("show", &["--device", "sn-1"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\ntold   -\n\nrules:\nallow 1d6b:*\n\nports:\nused *\n"), "{shown}");
    let (shown, _) = policy("show", &["--group", "lab"]);
    assert!(shown.contains("ports: nothing is said"), "{shown}");
    let (cleared, _) = policy("clear", &["--device", "sn-1", "--ports"]);
    assert!(cleared.starts_with("sn-1  version 2  nothing  "), "{cleared}");

    let bad = file("bad.conf", b"allow\nallow serail 1\n");
    let (refused, code) = policy("set", &["--group", "lab", "--rules", &bad]);
    assert_eq!(code, Some(3));
    assert!(refused.contains("rules: line 2, column 7"), "{refused}");
    let bytes = file("bytes.conf", b"allow serial \"\xff\"\n");
    let (refused, code) = policy("set", &["--group", "lab", "--rules", &bytes]);
    assert_eq!(code, Some(1));
    assert!(refused.contains("not UTF-8"), "{refused}");
    for wrong in [
        &["--group", "lab"][..],
        &["--rules", &rules],
        &["--group", "lab", "--device", "a", "--rules", &rules],
    ] {
        assert_eq!(policy("set", wrong).1, Some(2), "{wrong:?}");
    }
}
