//! The prompt of a locked device: it takes the recovery key and nothing else.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use holdfast_recovery::RecoveryKey;

use super::{
    BETWEEN_TEXTS, consoles,
    loader::Conduct,
    prompt::{Line, Typed, pause},
    recover::Lock,
    restart,
    terminals::{Number, Terminals},
};
use crate::places::Places;

const PROMPT: &str = "\rrecovery key: ";
/// Whoever has begun to type is not cut off by the restart that the boot loader's counting asks for.
const WHILE_TYPING: Duration = Duration::from_secs(120);

/// Asks until the right key came and the volume is recovered, or until the device restarts. `show`
/// says why the device is closed.
pub fn ask(places: &Places, lock: &Lock<'_>, show: &dyn Fn(), conduct: Conduct) -> ExitCode {
    let terminals = Terminals::open(places);
    let mut asker = Asker { places, lock, terminals, wrong_keys: 0, lines: Vec::new() };
    let first_wait = match conduct {
        Conduct::Restart => super::BEFORE_RESTART,
        Conduct::Stay => BETWEEN_TEXTS,
    };
    show();
    asker.terminals.show_everywhere(PROMPT);
    let mut end = Instant::now() + first_wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if let Some((number, byte)) = asker.terminals.next(left) {
            if asker.take(number, byte) == Taken::Recovered {
                return restart(places);
            }
            end = Instant::now() + WHILE_TYPING;
        } else if conduct == Conduct::Restart {
            return restart(places);
        } else {
            asker.lines.clear();
            show();
            asker.terminals.show_everywhere(PROMPT);
            end = Instant::now() + BETWEEN_TEXTS;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Taken {
    Recovered,
    Nothing,
}

struct Asker<'a> {
    places: &'a Places,
    lock: &'a Lock<'a>,
    terminals: Terminals,
    wrong_keys: u32,
    lines: Vec<(Number, Line)>,
}

impl Asker<'_> {
    fn take(&mut self, number: Number, byte: u8) -> Taken {
        match self.line(number).feed(byte) {
            Typed::Nothing => Taken::Nothing,
            Typed::Echo(text) => {
                self.terminals.show(number, &text);
                Taken::Nothing
            }
            Typed::NotAKey(why) => {
                self.refuse(&format!("recovery refused: {why}"));
                Taken::Nothing
            }
            Typed::Key(key) if !self.lock.accepts(&key) => {
                self.refuse("recovery refused: this is not the recovery key of this device");
                Taken::Nothing
            }
            Typed::Key(key) => self.recover(&key),
        }
    }

    fn line(&mut self, number: Number) -> &mut Line {
        let index = self.lines.iter().position(|(of, _)| *of == number).unwrap_or_else(|| {
            self.lines.push((number, Line::default()));
            self.lines.len() - 1
        });
        &mut self.lines[index].1
    }

    fn refuse(&mut self, why: &str) {
        self.wrong_keys = self.wrong_keys.saturating_add(1);
        let pause = pause(self.wrong_keys);
        self.terminals.show_everywhere("\r\n");
        consoles::say(
            self.places,
            &[format!("{why}; the next one is taken in {} s", pause.as_secs())],
        );
        self.terminals.ignore_for(pause);
        self.lines.clear();
        self.terminals.show_everywhere(PROMPT);
    }

    fn recover(&mut self, key: &RecoveryKey) -> Taken {
        self.terminals.show_everywhere("\r\n");
        let places = self.places;
        let mut done =
            |step: super::recover::Done| consoles::say(places, &[step.line().to_owned()]);
        match self.lock.recover(key, self.wrong_keys, &mut done) {
            Ok(()) => {
                consoles::say(places, &["recovery complete; restarting".to_owned()]);
                Taken::Recovered
            }
            Err(why) => {
                let why = why.lines().collect::<Vec<_>>().join("; ");
                self.refuse(&format!("recovery failed: {why}"));
                Taken::Nothing
            }
        }
    }
}
