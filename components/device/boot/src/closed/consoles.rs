//! Every console that the kernel writes to: a screen and a serial line may both be watched.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
};

use crate::{
    console::{milestone, note},
    places::Places,
};

/// The kernel's list of consoles.
pub const ACTIVE: &str = "sys/class/tty/console/active";

/// Prints why the device is closed.
pub fn print(places: &Places, lines: &[String]) {
    let lines: Vec<String> = lines.iter().map(|line| format!("closed {line}")).collect();
    say(places, &lines);
}

/// Prints the lines on all consoles and on standard output, which goes to the journal.
pub fn say(places: &Places, lines: &[String]) {
    for line in lines {
        milestone(line);
    }
    write(places, lines.iter().map(|line| format!("holdfast: {line}")));
}

/// Shows a text as it is on all consoles, and in the journal.
pub fn show(places: &Places, text: &str) {
    for line in text.lines() {
        note(line);
    }
    write(places, text.lines());
}

fn write(places: &Places, lines: impl IntoIterator<Item = impl AsRef<str>>) {
    let text = lines.into_iter().fold(String::new(), |text, line| text + line.as_ref() + "\r\n");
    let active = fs::read_to_string(places.at(ACTIVE)).unwrap_or_default();
    for name in names(&active) {
        // A console that is gone is no reason to stop.
        if let Ok(mut console) = OpenOptions::new().append(true).open(places.at("dev").join(name)) {
            let _ = console.write_all(text.as_bytes());
        }
    }
}

/// The names in that list.
pub fn names(active: &str) -> Vec<&str> {
    let names: Vec<&str> = active.split_whitespace().filter(|name| !name.contains('/')).collect();
    if names.is_empty() { vec!["console"] } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_console_gets_the_text() {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in
            [(ACTIVE, "tty0 ttyS0\n"), ("dev/tty0", ""), ("dev/ttyS0", ""), ("dev/ttyS1", "")]
        {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let places = Places::from_options(&[format!("--root={}", root.path().display())]).unwrap();
        print(&places, &["a".into(), "b".into()]);
        show(&places, "c\n  d\n");
        let read = |name: &str| fs::read_to_string(root.path().join("dev").join(name)).unwrap();
        assert_eq!(read("tty0"), "holdfast: closed a\r\nholdfast: closed b\r\nc\r\n  d\r\n");
        assert_eq!(read("ttyS0"), read("tty0"));
        assert_eq!(read("ttyS1"), "");
    }

    #[test]
    fn without_a_list_there_is_dev_console() {
        assert_eq!(names(""), ["console"]);
        assert_eq!(names("../sda tty0"), ["tty0"]);
    }
}
