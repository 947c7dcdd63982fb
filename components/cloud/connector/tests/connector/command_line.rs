//! The program itself: first start, commands, exit codes, stop.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::{program, serve, serve_with};

const EK: &str = "abababababababababababababababababababababababababababababababab";

fn run(data: &Path, arguments: &[&str]) -> Output {
    program(data).args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn signing_key(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("site.key");
    let status = Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    path
}

fn site_new(folder: &TempDir, data: &Path) -> PathBuf {
    let key = signing_key(folder);
    let out = folder.path().join("site.toml");
    let output = program(data)
        .args(["site", "new", "--tenant", "demo", "--enrol-url", "https://10.0.2.2:8443"])
        .args(["--device-url", "https://10.0.2.2:8444", "--edge-id-source", "dmi-serial"])
        .arg("--key")
        .arg(&key)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out
}

#[test]
fn from_nothing_to_a_registered_device() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let site = site_new(&folder, &data);
    let mut server = serve(&data);

    // The site is signed, and names the root that the server has.
    let public = folder.path().join("site.pub");
    let key = folder.path().join("site.key");
    let made = Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(key)
        .arg("-out")
        .arg(&public)
        .status();
    assert!(made.unwrap().success());
    let document = std::fs::read(&site).unwrap();
    let signature = std::fs::read(folder.path().join("site.toml.sig")).unwrap();
    let public = std::fs::read_to_string(public).unwrap();
    let parsed = holdfast_site::Site::verify_and_parse(&document, &signature, &public).unwrap();
    let root = std::fs::read_to_string(data.join("ca/root.crt")).unwrap();
    assert_eq!(parsed.anchors()[0].pem().trim(), root.trim());

    let registered =
        json(&run(&data, &["--json", "device", "register", "sn-1", "--ek-sha256", EK]));
    assert_eq!(registered["edge_id"], "SN-1");
    let listed = json(&run(&data, &["device", "list", "--json"]));
    assert_eq!(listed["items"][0]["id"], registered["id"]);
    let text = String::from_utf8(run(&data, &["device", "show", "SN-1"]).stdout).unwrap();
    assert!(text.contains(EK), "{text}");
    groups(&data);
    let release = folder.path().join("release.json");
    std::fs::write(&release, crate::support::release([1; 32]).to_string()).unwrap();
    let published = json(&run(&data, &["--json", "release", "publish", release.to_str().unwrap()]));
    assert_eq!(published["version"], "0.1.0");
    assert_eq!(json(&run(&data, &["--json", "events"]))["items"], serde_json::json!([]));
    let audit = json(&run(&data, &["--json", "audit"]));
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().rev().collect();
    let actions: Vec<_> = actions.iter().map(|i| i["record"]["action"].as_str().unwrap()).collect();
    let expected = [
        "authority.create",
        "site.add",
        "api-key.create",
        "registry.register",
        "group.set",
        "registry.move-group",
        "group.remove",
        "registry.move-group",
        "group.remove",
        "release.publish",
    ];
    assert_eq!(actions, expected);

    assert_codes(&data);

    let pid = server.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(server.0.wait().unwrap().success());
    assert_eq!(run(&data, &["device", "list"]).status.code(), Some(4));
}

fn groups(data: &Path) {
    let said = |arguments: &[&str]| {
        let output = run(data, arguments);
        let streams = [output.stdout, output.stderr].concat();
        String::from_utf8(streams).unwrap()
    };
    let made = json(&run(data, &["--json", "group", "set", "lab", "--quote", "record"]));
    assert_eq!(made["quote_policy"], "record");
    let moved = json(&run(data, &["--json", "device", "move-group", "SN-1", "--to", "lab"]));
    assert_eq!(moved["group"], "lab");
    let listed = said(&["group", "list"]);
    assert!(listed.contains("lab    record  1        demo"), "{listed}");
    assert_eq!(said(&["group", "show", "lab"]), listed);
    let shown = said(&["device", "show", "SN-1"]);
    assert!(shown.contains("quote       record (of group lab)\ngroup       lab\n"), "{shown}");
    let inside = json(&run(data, &["--json", "device", "list", "--group", "lab"]));
    assert_eq!(inside["items"].as_array().unwrap().len(), 1);
    let refused = said(&["group", "remove", "lab"]);
    assert!(refused.contains("devices in it: 1"), "{refused}");
    let shown = said(&["device", "move-group", "SN-1"]);
    assert!(shown.contains("--to <GROUP>|--none"), "{shown}");
    json(&run(data, &["--json", "device", "move-group", "SN-1", "--none"]));
    let shown = said(&["device", "show", "SN-1"]);
    assert!(shown.contains("quote       enforce (default)\n"), "{shown}");
    assert_eq!(said(&["group", "remove", "lab"]), "lab  removed  demo\n");
}

fn assert_codes(data: &Path) {
    let busy = run(data, &["serve", "--est-listen", "127.0.0.1:0"]);
    assert_eq!(busy.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&busy.stderr).contains("another holdfast-cloud"));
    for (arguments, code) in [
        (["device", "show", "SN-2"].as_slice(), 3),
        (&["device", "show", "default string"], 2),
        (&["device", "resume", "SN-1"], 3),
        (&["device", "register", "SN-2", "--ek-sha256", "xy"], 2),
        (&["device", "register", "SN-2", "--ek-sha256", EK], 3),
        (&["release", "publish", "/nonexistent"], 1),
        (&["frobnicate"], 2),
        (&["device", "list"], 0),
    ] {
        let output = run(data, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    }
    let refused = run(data, &["--json", "device", "show", "SN-2"]);
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(error["error"]["code"], "not-found");
}

#[test]
fn secrets_are_readable_by_their_owner_only_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(serve(&data));
    let secrets = ["admin.key", "ca/root.key", "ca/issuing.key", "tls/server.key", "holdfast.db"];
    let before = secrets[..4].iter().map(|name| std::fs::read(data.join(name)).unwrap());
    let before: Vec<_> = before.collect();
    for name in secrets {
        let mode = std::fs::metadata(data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // The root's key is not needed any more.
    let offline = folder.path().join("root.key");
    std::fs::rename(data.join("ca/root.key"), &offline).unwrap();
    let _server = serve(&data);
    std::fs::rename(&offline, data.join("ca/root.key")).unwrap();
    let after = secrets[..4].iter().map(|name| std::fs::read(data.join(name)).unwrap());
    assert_eq!(after.collect::<Vec<_>>(), before);
    assert_eq!(run(&data, &["device", "list"]).status.code(), Some(0));
}

#[test]
fn a_roll_over_needs_the_root_key_and_the_passphrases() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let passphrase = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{name}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (root, issuing, new) = (passphrase("root"), passphrase("issuing"), passphrase("new"));
    let none = run(&data, &["ca", "show"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("holdfast-cloud serve makes one"));
    let encrypted = ["--root-passphrase-file", &root, "--issuing-passphrase-file", &issuing];
    let server = serve_with(&data, &encrypted);
    let offline = folder.path().join("root.key");
    std::fs::rename(data.join("ca/root.key"), &offline).unwrap();
    let key = ["--root-key", offline.to_str().unwrap()];

    let roll =
        |more: &[&str]| run(&data, &[["--json", "ca", "roll-issuing"].as_slice(), more].concat());
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let issuing = ["--issuing-passphrase-file", &issuing];
    let root = ["--root-passphrase-file", &root];
    for (arguments, reason) in [
        ([root, issuing].concat(), "bring the root's key back"),
        ([key, issuing].concat(), "is encrypted: give its passphrase file"),
        ([key, ["--root-passphrase-file", &new], issuing].concat(), "does not open"),
        ([key, root].concat(), "is encrypted: give its passphrase file"),
        ([key, root, ["--issuing-passphrase-file", &new]].concat(), "does not open"),
    ] {
        let refused = roll(&arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(said(&refused).contains(reason), "{arguments:?}: {}", said(&refused));
    }
    let changed = json(&roll(&[key, root, issuing].concat()));
    assert_eq!(changed["server"], "in-force", "the running server took it over by itself");
    assert_eq!(changed["authority"]["cas"].as_array().unwrap().len(), 3);

    let second = folder.path().join("root-2.key");
    let arguments = [
        ["--json", "ca", "roll-root"].as_slice(),
        &key,
        &root,
        &issuing,
        &["--new-root-key", second.to_str().unwrap(), "--new-root-passphrase-file", &new],
    ];
    drop(server);
    let changed = json(&run(&data, &arguments.concat()));
    assert_eq!(changed["server"], "not-running");
    assert!(std::fs::read_to_string(&second).unwrap().contains("ENCRYPTED PRIVATE KEY"));
    let mode = std::fs::metadata(&second).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let _server = serve_with(&data, &issuing);
    let shown = String::from_utf8(run(&data, &["ca", "show"]).stdout).unwrap();
    assert_eq!(shown.lines().count(), 1 + 2 + 3, "{shown}");
    let audit = json(&run(&data, &["--json", "audit"]));
    let items = audit["items"].as_array().unwrap().iter();
    let outcomes: Vec<_> = items
        .map(|item| &item["record"])
        .filter(|record| record["action"].as_str().unwrap().starts_with("authority.roll"))
        .map(|record| record["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["ok", "ok", "failed", "failed", "failed", "failed", "failed"]);
}

/// The server is stopped, so that it confirms nothing: a command waits for it for 30 s.
#[test]
fn a_command_that_waits_for_the_server_holds_no_other_up() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = serve(&data);
    let signal = |name: &str| {
        let pid = server.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let begun = Instant::now();
    let roll = || {
        let mut command = program(&data);
        command.args(["--json", "ca", "roll-issuing"]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let commands = [roll(), roll()];
    let issuing = || {
        let shown = json(&run(&data, &["--json", "ca", "show"]));
        shown["cas"].as_array().unwrap().len() - 1
    };
    while issuing() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the second command waits");
        std::thread::sleep(Duration::from_millis(50));
    }
    // But for one that takes away what the server may still sign with.
    let shown = json(&run(&data, &["--json", "ca", "show"]));
    let former = shown["cas"][3]["id"].as_str().unwrap().to_owned();
    let mut retire = program(&data);
    retire.args(["--json", "ca", "retire", &former]).stdout(Stdio::piped());
    let retire = retire.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(issuing(), 3);
    signal("-CONT");
    for command in commands.into_iter().chain([retire]) {
        let changed = json(&command.wait_with_output().unwrap());
        assert_eq!(changed["server"], "in-force");
    }
    assert_eq!(issuing(), 2);
    let audit = json(&run(&data, &["--json", "audit"])).to_string();
    assert_eq!(audit.matches("authority.roll-issuing").count(), 2);
}

#[test]
fn the_operators_key_is_made_once_and_opens_files_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let nowhere = folder.path().join("no-data");
    std::fs::write(path("passphrase"), "correct horse\n").unwrap();
    let new_key = ["recovery", "new-key", "--out", &path("operator.pem")];
    let with_passphrase = ["--passphrase-file", &path("passphrase")];
    let printed = json(&run(&nowhere, &[&["--json"], &new_key[..], &with_passphrase[..]].concat()));
    assert_eq!(printed["encrypted"], true);
    let mode = std::fs::metadata(path("operator.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = std::fs::read(path("operator.pem")).unwrap();
    assert_eq!(run(&nowhere, &new_key).status.code(), Some(1));
    assert_eq!(std::fs::read(path("operator.pem")).unwrap(), key);

    let public = std::fs::read_to_string(path("operator.pub")).unwrap();
    let statement = holdfast_recovery::Statement {
        edge_id: "SN-1".into(),
        luks_uuid: "6b1e2a34-1f7c-4f2a-9a55-0d7c3a2b1c0d".into(),
        keyslot: 1,
        created: time::OffsetDateTime::UNIX_EPOCH,
        occasion: holdfast_recovery::Occasion::First,
        key: holdfast_recovery::RecoveryKey::from_bytes(&[7; 32]),
    };
    let recipient = holdfast_recovery::Recipient::from_pem(&public).unwrap();
    let wrapped = holdfast_recovery::WrappedKey::seal(&statement, &recipient).unwrap();
    std::fs::write(path("wrapped.pem"), wrapped.message).unwrap();

    let open = ["recovery", "open", &path("wrapped.pem"), "--key", &path("operator.pem")];
    let needs = run(&nowhere, &open);
    assert_eq!(needs.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&needs.stderr).contains("--passphrase-file"));
    let opened = json(&run(&nowhere, &[&["--json"], &open[..], &with_passphrase[..]].concat()));
    assert_eq!(opened["recovery_key"], statement.key.as_str());
    assert_eq!(opened["edge_id"], "SN-1");
    let text = run(&nowhere, &[&open[..], &with_passphrase[..]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text.matches(statement.key.as_str()).count(), 1, "{text}");

    let other = ["recovery", "new-key", "--out", &path("other.pem")];
    assert!(run(&nowhere, &other).status.success());
    let foreign = ["recovery", "open", &path("wrapped.pem"), "--key", &path("other.pem")];
    let refused = run(&nowhere, &foreign);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another public key"));
}

#[test]
fn help_teaches() {
    let folder = tempfile::tempdir().unwrap();
    let help = String::from_utf8(run(folder.path(), &["--help"]).stdout).unwrap();
    for expected in ["site new", "release publish", "device register", "Exit codes"] {
        assert!(help.contains(expected), "{help}");
    }
}
