//! Reads rules and shows them in canonical form, for checks of rules files and for tests that bring
//! lists of rules of their own: the rule is the argument, or with `-f` the argument is a file.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use holdfast_usb_rules::{Document, ParseErrors, Rule};

const USAGE: &str = "Usage: usb-rule-parser RULE\n       usb-rule-parser -f FILE\n\n\
    Reads a rule, or a file of rules, and prints each as INPUT: and, in canonical form, OUTPUT:.\n\
    Exit status: 0 if every rule is good, 1 if one is not, 2 if the call is wrong.\n";

enum Failure {
    Rules(String),
    Call(String),
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    let mut output = io::stdout().lock();
    match run(&arguments, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Rules(message)) => fail(&message, 1),
        Err(Failure::Call(message)) => fail(&message, 2),
        Err(Failure::Output(error)) => fail(&format!("cannot write the result: {error}"), 1),
    }
}

fn fail(message: &str, status: u8) -> ExitCode {
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::from(status)
}

fn run(arguments: &[&OsStr], output: &mut impl Write) -> Result<(), Failure> {
    match arguments {
        [option] if *option == "-h" || *option == "--help" => Ok(write!(output, "{USAGE}")?),
        [option, path] if *option == "-f" || *option == "--file" => file(path, output),
        [rule] => one(rule.as_bytes(), output),
        _ => Err(Failure::Call(USAGE.into())),
    }
}

fn one(text: &[u8], output: &mut impl Write) -> Result<(), Failure> {
    show("INPUT", text, output)?;
    // A line that is empty or a comment is good, and is no rule.
    if Document::parse(text).is_ok_and(|document| document.rules().next().is_none()) {
        return Ok(());
    }
    let rule = Rule::parse(text).map_err(|error| Failure::Rules(error.to_string()))?;
    Ok(show("OUTPUT", rule.to_string().as_bytes(), output)?)
}

fn file(path: &OsStr, output: &mut impl Write) -> Result<(), Failure> {
    let place = path.display();
    let text = std::fs::read(path)
        .map_err(|error| Failure::Rules(format!("cannot read {place}: {error}")))?;
    let document = Document::parse(&text).map_err(|errors| Failure::Rules(list(path, &errors)))?;
    for (_, line, rule) in document.rules_with_lines() {
        show("INPUT", line, output)?;
        show("OUTPUT", rule.to_string().as_bytes(), output)?;
    }
    Ok(())
}

fn list(path: &OsStr, errors: &ParseErrors) -> String {
    let place = path.display();
    let lines = errors.as_slice().iter().map(|error| format!("{place}: {error}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn show(label: &str, text: &[u8], output: &mut impl Write) -> io::Result<()> {
    write!(output, "{label}: ")?;
    output.write_all(text)?;
    writeln!(output)
}
