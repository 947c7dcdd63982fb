//! One line per milestone on standard output, which the units send to journal and console.

use std::{
    fmt,
    io::{self, Write as _},
};

/// Prints a milestone. A console that is gone is no reason to stop.
pub fn milestone(text: impl fmt::Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "holdfast: {text}").and_then(|()| stdout.flush());
}

/// Notes a step, for the journal.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
