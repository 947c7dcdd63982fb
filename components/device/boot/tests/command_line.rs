//! The program as its units start it.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::{
    fs,
    process::{Command, Output},
};

fn boot(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdfast-boot")).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_names_every_verb() {
    let help = boot(&["--help"]);
    assert!(help.status.success());
    let help = text(&help.stdout);
    for word in ["var", "site", "recovery", "closed", "--tpm=", "--root=", "--esp="] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn wrong_use_is_told() {
    for (words, part) in
        [(&[][..], "verb is missing"), (&["vat"], "\"vat\""), (&["var", "--disk=x"], "--disk=x")]
    {
        let done = boot(words);
        assert_eq!(done.status.code(), Some(2));
        assert!(text(&done.stderr).contains(part), "{part}");
    }
}

#[test]
fn every_early_end_leaves_a_verdict_and_a_line() {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let option = format!("--root={}", root.path().display());
    let refused = |tpm: &str, reason: &str, part: &str| {
        let done = boot(&["var", &option, &format!("--tpm={tpm}")]);
        assert_eq!(done.status.code(), Some(1));
        let line = text(&done.stdout);
        assert!(line.starts_with(&format!("holdfast: var refused reason={reason}: ")), "{line}");
        assert!(line.contains(part), "{line}");
        assert_eq!(line.lines().count(), 1);
        let verdict = fs::read(root.path().join("run/holdfast/var/verdict.json")).unwrap();
        let verdict: serde_json::Value = serde_json::from_slice(&verdict).unwrap();
        assert_eq!((&verdict["verdict"], &verdict["reason"]), (&"refused".into(), &reason.into()));
        assert!(verdict["seconds"].is_number());
    };
    refused("device:/nowhere", "release-unreadable", "release.toml");
    put("usr/lib/holdfast/release.toml", "version = \"1\"\nsecurity_version = \"x\"\n");
    refused("device:/nowhere", "release-unreadable", "invalid type");
    put("usr/lib/holdfast/release.toml", "version = \"1\"\nsecurity_version = 1\n");
    refused("device:/nowhere", "tpm-unusable", "/nowhere");
    let tpm = holdfast_tpm::swtpm::Swtpm::blank().unwrap();
    refused(&tpm.tcti(), "boot-disk-unusable", "dm-0");
}
