//! Foreign programs.

use std::process::{Command, Output};

/// The interpreter with the programs of `requirements.txt`. Without it the tests that need it are
/// skipped, except where `cargo xtask test` has promised it.
pub fn python() -> Option<Command> {
    let Some(interpreter) = std::env::var_os("HOLDFAST_PYTHON") else {
        assert!(std::env::var_os("HOLDFAST_REQUIRE_TOOLS").is_none(), "HOLDFAST_PYTHON is not set");
        eprintln!("skipped: HOLDFAST_PYTHON names no Python with the packages of requirements.txt");
        return None;
    };
    Some(Command::new(interpreter))
}

/// What a program printed; it must succeed.
pub fn run(command: &mut Command) -> Vec<u8> {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(
        status.success(),
        "{command:?} ended with {status}:\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    stdout
}
