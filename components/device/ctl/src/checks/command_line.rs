//! The kernel runs with the command line that was signed with it.

use super::{Context, Finding, context::unreadable};

const RUNNING: &str = "proc/cmdline";
const SIGNED: &str = "usr/lib/holdfast/cmdline";
/// The signed list lies in the root file system, so it cannot name that file system's own hash: it
/// ends in this word without a value. The running one's value is what verity was opened with.
const ROOT: &str = "holdfast.root=";

pub(super) fn run(context: &Context) -> Finding {
    let running = match context.read(RUNNING) {
        Ok(text) => text,
        Err(error) => return unreadable(RUNNING, &error, "Mount /proc."),
    };
    let signed = match context.read(SIGNED) {
        Ok(text) => text,
        Err(error) => {
            return unreadable(SIGNED, &error, "The image is not complete: install a release.");
        }
    };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (mut running, signed) = (words(&running), words(&signed));
    if signed.iter().any(|word| word == ROOT)
        && let Some(word) = running.iter_mut().find(|word| word.starts_with(ROOT))
    {
        ROOT.clone_into(word);
    }
    if running == signed {
        return Finding::ok("The kernel runs with the signed command line.");
    }
    let only_in = |a: &[String], b: &[String]| {
        a.iter().filter(|word| !b.contains(word)).cloned().collect::<Vec<_>>().join(" ")
    };
    let (added, missing) = (only_in(&running, &signed), only_in(&signed, &running));
    let named = |what: &str, words: &str| {
        if words.is_empty() { String::new() } else { format!("; {what}: {words}") }
    };
    Finding::failed(
        format!(
            "the kernel runs with another command line than the signed one{}{}",
            named("added", &added),
            named("missing", &missing)
        ),
        "Somebody changed what is started: look at the ESP for add-ons and at the boot order. \
         The cloud refuses such a boot when it judges the quote.",
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;

    #[test]
    fn table() {
        let table = [
            ("audit=1 quiet\n", Ok, "signed"),
            ("audit=1  quiet", Ok, "signed"),
            ("audit=1 quiet init=/bin/sh", Failed, "added: init=/bin/sh"),
            ("quiet", Failed, "missing: audit=1"),
            ("quiet audit=1", Failed, "another command line"),
            ("audit=1 quiet quiet", Failed, "another command line"),
        ];
        for (running, outcome, part) in table {
            Fixture::new()
                .file(RUNNING, running)
                .file(SIGNED, "audit=1 quiet\n")
                .expect(run, outcome, part);
        }
        Fixture::new().file(RUNNING, "quiet").expect(run, Failed, "install a release");
    }

    #[test]
    fn the_root_hash_is_named_once() {
        for (running, outcome, part) in [
            ("quiet holdfast.root=00ff", Ok, "signed"),
            ("quiet holdfast.root=00ff holdfast.root=00ff", Failed, "added: holdfast.root=00ff"),
            ("quiet", Failed, "missing: holdfast.root="),
        ] {
            Fixture::new()
                .file(RUNNING, running)
                .file(SIGNED, "quiet holdfast.root=\n")
                .expect(run, outcome, part);
        }
    }
}
