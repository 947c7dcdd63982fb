//! `holdfast usb rules` and `holdfast usb generate-policy`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use holdfast_ipc::usb::{RULE_LAST, RuleReport, Usb1Proxy};
use holdfast_usb_rules::MAX_DOCUMENT_BYTES;
use serde::Serialize;

use super::{failed, report};
use crate::service::Service;
use crate::text::table;
use crate::{Code, Failure, cli};

const WHICH_RULES: &str = "`holdfast usb rules` shows which rules there are.";
const LANGUAGE: &str = "docs/usb.md has the language; `usb-rule-parser -f FILE` checks a file.";

/// What to do with the rules.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Shows the rules in force, in their order.
    List,
    /// Adds a rule, at the end unless told otherwise. Devices that are there are judged anew.
    Append {
        /// The rule, as in 'allow 0781:5583 serial "4C530001"'.
        rule: String,
        /// Behind the rule of this number; 0 for the front.
        #[arg(long, value_name = "N", default_value_t = RULE_LAST, hide_default_value = true)]
        after: u32,
        /// Forgotten when the service ends.
        #[arg(long)]
        temporary: bool,
    },
    /// Takes a rule away.
    Remove {
        /// Its number in the list.
        #[arg(value_name = "N")]
        rule: u32,
    },
    /// Takes the rules of a file in place of all that are there. A file with an error changes nothing.
    Replace {
        /// The file; - for standard input.
        file: PathBuf,
    },
}

#[derive(Serialize)]
struct Changed {
    rule: u32,
}

#[derive(Serialize)]
struct Replaced {
    count: usize,
}

#[derive(Serialize)]
struct Generated {
    policy: String,
}

pub(super) async fn run(usb: &Usb1Proxy<'_>, verb: Verb, json: bool) -> Result<Code, Failure> {
    match verb {
        Verb::List => show(usb, json).await,
        Verb::Append { rule, after, temporary } => {
            let answer = usb.append_rule(&rule, after, temporary).await;
            let rule = answer.map_err(|error| failed(error, LANGUAGE))?;
            tell(&Changed { rule }, &format!("Rule {rule} was added."), json)
        }
        Verb::Remove { rule } => {
            let answer = usb.remove_rule(rule).await;
            answer.map_err(|error| failed(error, WHICH_RULES))?;
            tell(&Changed { rule }, &format!("Rule {rule} was removed."), json)
        }
        Verb::Replace { file } => replace(usb, &file, json).await,
    }
}

pub(super) async fn generate(
    usb: &Usb1Proxy<'_>,
    with_ports: bool,
    json: bool,
) -> Result<Code, Failure> {
    let answer = usb.generate_policy(with_ports).await;
    let policy = answer.map_err(|error| Service::USB.failure(error))?;
    let text = policy.trim_end().to_owned();
    tell(&Generated { policy }, &text, json)
}

async fn show(usb: &Usb1Proxy<'_>, json: bool) -> Result<Code, Failure> {
    let rules: Vec<RuleReport> = report(usb.list_rules().await)?;
    tell(&rules, &block(&rules), json)
}

fn tell(value: &impl Serialize, text: &str, json: bool) -> Result<Code, Failure> {
    if json {
        cli::print_json(value)?;
    } else {
        cli::print(text)?;
    }
    Ok(Code::Ok)
}

fn block(rules: &[RuleReport]) -> String {
    if rules.is_empty() {
        return "There is no rule.".to_owned();
    }
    let row = |rule: &RuleReport| {
        let lasts = if rule.temporary { "temporary" } else { "stored" };
        [rule.id.to_string(), lasts.to_owned(), rule.rule.clone()]
    };
    table(["ID", "LASTS", "RULE"], &rules.iter().map(row).collect::<Vec<_>>())
}

async fn replace(usb: &Usb1Proxy<'_>, file: &Path, json: bool) -> Result<Code, Failure> {
    let text = read(file)?;
    usb.replace_rules(&text).await.map_err(|error| {
        let failure = failed(error, LANGUAGE);
        // The service knows lines, not the file.
        match failure.code {
            Code::Failed => {
                Failure { text: format!("{}: {}", file.display(), failure.text), ..failure }
            }
            _ => failure,
        }
    })?;
    let rules: Vec<RuleReport> = report(usb.list_rules().await)?;
    let count = rules.len();
    let is = if count == 1 { "rule is" } else { "rules are" };
    tell(&Replaced { count }, &format!("{count} {is} in force now."), json)
}

/// Reads a rules file, or standard input for `-`.
fn read(file: &Path) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::new(Code::Failed, format!("{}: {what}", file.display()));
    let source: io::Result<Box<dyn Read>> = if file == Path::new("-") {
        Ok(Box::new(io::stdin().lock()))
    } else {
        File::open(file).map(|file| Box::new(file) as Box<dyn Read>)
    };
    let mut bytes = Vec::new();
    // One byte more, so that what is too long is not taken for its beginning.
    let limit = MAX_DOCUMENT_BYTES as u64 + 1;
    let read = source.and_then(|source| source.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| wrong(&format!("it cannot be read: {error}")))?;
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(wrong(&format!("it has more than {MAX_DOCUMENT_BYTES} bytes")));
    }
    let is_sendable = |text: &String| !text.contains('\0');
    String::from_utf8(bytes).ok().filter(is_sendable).ok_or_else(|| {
        wrong("it is not UTF-8 without NUL").advise("Write such bytes as \\xHH, in strings.")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn rules_are_shown_as_they_are_written() {
        let rule = |id, rule: &str, temporary| RuleReport { id, rule: rule.into(), temporary };
        assert_eq!(
            block(&[rule(1, "allow serial \"1\"", false), rule(12, "block", true)]),
            "ID  LASTS      RULE\n1   stored     allow serial \"1\"\n12  temporary  block"
        );
        assert_eq!(block(&[]), "There is no rule.");
    }

    #[test]
    fn a_file_that_cannot_be_sent_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.conf");
        assert!(read(&file).unwrap_err().text.contains("rules.conf: it cannot be read"));
        for (bytes, part) in [
            (&b"allow name \"\xff\""[..], "not UTF-8"),
            (b"allow\0", "without NUL"),
            (&vec![b'#'; MAX_DOCUMENT_BYTES + 1], "more than 8388608 bytes"),
        ] {
            fs::write(&file, bytes).unwrap();
            let failure = read(&file).unwrap_err();
            assert!(failure.text.contains(part), "{failure}");
        }
        fs::write(&file, "block\n").unwrap();
        assert_eq!(read(&file).unwrap(), "block\n");
    }
}
