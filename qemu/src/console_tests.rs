use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Console;
use crate::Error;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

fn console() -> (Console, UnixStream, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let console = Console::open(ours, Instant::now(), &folder.path().join("log")).unwrap();
    (console, theirs, folder)
}

#[test]
fn waits_go_forward_and_see_unfinished_lines() {
    let (console, mut device, _folder) = console();
    device.write_all(b"boot one\r\nboot two\r\nboot three boot four\r\nlog").unwrap();
    for expected in ["boot one", "boot two", "boot three boot four", "boot three boot four"] {
        assert_eq!(console.wait_for("boot", LONG).unwrap().text, expected);
    }
    device.write_all(b"in: ").unwrap();
    assert_eq!(console.wait_for("login: ", LONG).unwrap().text, "login: ");
    let error = console.wait_for("boot", SHORT).unwrap_err();
    assert!(matches!(&error, Error::Timeout { context, .. } if context.contains("boot three")));
    device.write_all(b"root\r\nboot five").unwrap();
    assert_eq!(console.wait_for("boot", LONG).unwrap().text, "boot five");
    assert_eq!(console.find("boot").unwrap().text, "boot one");
}

#[test]
fn the_first_of_several_patterns_wins() {
    let (console, mut device, _folder) = console();
    device.write_all(b"all well, then panic\r\nactive\r\n").unwrap();
    let patterns = ["active", "panic", "well"];
    let which = |n: usize| (0..n).map(|_| console.wait_for_any(&patterns, LONG).unwrap().0);
    assert_eq!(which(3).collect::<Vec<_>>(), [2, 1, 0]);
}

#[test]
fn a_device_that_ends_ends_the_wait() {
    let (console, mut device, folder) = console();
    device.write_all(b"\x1b[1mlast\x1b[0m words").unwrap();
    drop(device);
    let error = console.wait_for("more", LONG).unwrap_err();
    assert!(matches!(&error, Error::Ended { context, .. } if context.contains("last words")));
    assert!(console.has_ended());
    assert_eq!(console.wait_for("words", LONG).unwrap().text, "last words");
    drop(console);
    let transcript = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(transcript.starts_with("[    ") && transcript.ends_with("] last words\n"));
}

#[test]
fn a_line_has_the_time_of_its_first_character() {
    let (console, mut device, _folder) = console();
    device.write_all(b"first\r\n").unwrap();
    let first = console.wait_for("first", LONG).unwrap();
    thread::sleep(Duration::from_millis(80));
    device.write_all(b"sec").unwrap();
    let second = console.wait_for("sec", LONG).unwrap();
    assert!(second.at >= first.at + Duration::from_millis(80), "{first:?} {second:?}");
    thread::sleep(Duration::from_millis(80));
    device.write_all(b"ond\r\n").unwrap();
    assert_eq!(console.wait_for("ond", LONG).unwrap().at, second.at);
}

#[test]
fn what_is_typed_arrives() {
    let (console, mut device, _folder) = console();
    console.send_line("status").unwrap();
    let mut typed = [0; 7];
    device.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"status\r");
}

#[test]
fn listeners_get_the_bytes_as_they_are() {
    let (console, mut device, _folder) = console();
    let listener = console.listen();
    device.write_all(b"\x1b[1mraw").unwrap();
    drop(device);
    let bytes: Vec<u8> = listener.iter().flatten().collect();
    assert_eq!(bytes, b"\x1b[1mraw");
}
