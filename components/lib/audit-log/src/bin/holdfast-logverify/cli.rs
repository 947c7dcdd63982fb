//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use holdfast_audit_log::Origin;
use holdfast_audit_log::export::{Node, Selection};
use holdfast_audit_log::frame::Class;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Verify an audit log, show and export its records, make and check proofs.
///
/// A log is the folder of a device's spool (/var/lib/holdfast/audit/spool), the folder that
/// `holdfast-cloud device-audit export` wrote, or files of either in order. Nothing is changed.
/// Without the key of the log only damage and careless changes are found: whoever can write the
/// files can make others that fit together. Take the key from where the device was enrolled, not
/// from beside the log.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 good, 1 tampered with or a proof that does not hold, 2 wrong use, \
                  3 something cannot be read.\n\nExamples:\n  holdfast-logverify verify --key \
                  audit.pem /var/lib/holdfast/audit/spool\n  holdfast-logverify show --from 4000 \
                  --class usb log/\n  holdfast-logverify export --key audit.pem log/ > audit.log && \
                  ausearch -if audit.log -i\n  holdfast-logverify inclusion --record 4711 --key \
                  audit.pem log/ > proof.json\n  holdfast-logverify check --key audit.pem \
                  proof.json\n\nSee holdfast-logverify(1)."
)]
pub struct Cli {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether a log is whole and as it was signed, and which records are not
    Verify(LogArguments),
    /// Show records, one on each line; with --json one object on each line
    Show(ShowArguments),
    /// Write records as the text that ausearch and aureport read, after verifying all of them
    Export(ExportArguments),
    /// Prove that a record is in the log: prints the record, the way to the root, and a checkpoint
    Inclusion(InclusionArguments),
    /// Prove that the log of one size is the beginning of that of another
    Consistency(ConsistencyArguments),
    /// Check a proof that inclusion or consistency printed; takes no log
    Check(CheckArguments),
}

/// Which log, and what is known of it.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// Folder of a spool or of an export, or files of them in order
    #[arg(required = true, value_name = "LOG")]
    pub paths: Vec<PathBuf>,
    /// The public key of the log, PEM (BEGIN PUBLIC KEY)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Name that the log must have, as in holdfast/audit/74192687697f4cd7ab1f89dadc5bb3a5
    #[arg(long, value_name = "NAME", value_parser = origin)]
    pub origin: Option<Origin>,
    /// A checkpoint that was kept elsewhere: the log must contain what it signs; may be repeated
    #[arg(long, value_name = "FILE", requires = "key")]
    pub checkpoint: Vec<PathBuf>,
    /// A receipt of the cloud (receipt.jws): the log must contain what it says
    #[arg(long, value_name = "FILE", requires = "receipt_key")]
    pub receipt: Option<PathBuf>,
    /// The public key of the receipt's signer, PEM; verify its certificate first, see the manual
    #[arg(long, value_name = "FILE", requires = "receipt")]
    pub receipt_key: Option<PathBuf>,
}

/// Which records.
#[derive(Debug, Args)]
pub struct SelectionArguments {
    /// First record by number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from: u64,
    /// Last record by number
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub to: u64,
    /// Records made then or later: RFC 3339, as in 2026-11-26T04:00:00Z
    #[arg(long, value_name = "TIME", value_parser = nanoseconds)]
    pub since: Option<u64>,
    /// Records made then or before
    #[arg(long, value_name = "TIME", value_parser = nanoseconds)]
    pub until: Option<u64>,
    /// Records of one class: kernel, execution, system, operation, authentication, usb, policy,
    /// update, permission, log
    #[arg(long, value_name = "CLASS", value_parser = class)]
    pub class: Option<Class>,
}

impl SelectionArguments {
    /// What they select.
    pub fn selection(&self) -> Selection {
        Selection {
            sequences: self.from..=self.to,
            realtime_ns: self.since.unwrap_or(0)..=self.until.unwrap_or(u64::MAX),
            class: self.class,
        }
    }
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    #[command(flatten)]
    pub log: LogArguments,
    #[command(flatten)]
    pub selection: SelectionArguments,
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    #[command(flatten)]
    pub log: LogArguments,
    #[command(flatten)]
    pub selection: SelectionArguments,
    /// File to write instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write node=NAME before each line, for logs of several devices in one file
    #[arg(long, value_name = "NAME", value_parser = node)]
    pub node: Option<Node>,
    /// Export what can be read of a log that was tampered with; the exit status stays 1
    #[arg(long)]
    pub even_if_tampered: bool,
}

#[derive(Debug, Args)]
pub struct InclusionArguments {
    #[command(flatten)]
    pub log: LogArguments,
    /// The record by its number
    #[arg(long, value_name = "N")]
    pub record: u64,
    /// Size of the log that the proof is for; otherwise that of the first checkpoint that covers
    /// the record, or all of it
    #[arg(long, value_name = "N")]
    pub size: Option<u64>,
}

#[derive(Debug, Args)]
pub struct ConsistencyArguments {
    #[command(flatten)]
    pub log: LogArguments,
    /// The smaller size
    #[arg(long, value_name = "N")]
    pub old: u64,
    /// The larger size; otherwise all of the log
    #[arg(long, value_name = "N")]
    pub new: Option<u64>,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The proof
    pub proof: PathBuf,
    /// The public key of the log, PEM: the checkpoints in the proof must be signed by it
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Name that the log must have
    #[arg(long, value_name = "NAME", value_parser = origin)]
    pub origin: Option<Origin>,
    /// A checkpoint that was kept elsewhere, for a proof that brings none of that size
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::new(text).map_err(|error| error.to_string())
}

fn node(text: &str) -> Result<Node, String> {
    Node::new(text).map_err(|error| error.to_string())
}

fn class(text: &str) -> Result<Class, String> {
    Class::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Class::ALL.into_iter().map(Class::name).collect();
        format!("not a class; there are {}", names.join(", "))
    })
}

fn nanoseconds(text: &str) -> Result<u64, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("not a time as in 2026-11-26T04:00:00Z: {error}"))?;
    u64::try_from(time.unix_timestamp_nanos()).map_err(|_| "outside of 1970 to 2554".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_in_the_manual() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        let manual = include_str!("../../../../../../docs/man/holdfast-logverify.1");
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            assert!(manual.contains(&format!(".It Cm {}", verb.get_name())), "{}", verb.get_name());
            let options = verb.get_arguments().filter_map(clap::Arg::get_long);
            for long in options.filter(|long| !matches!(*long, "help" | "version")) {
                assert!(manual.contains(&format!("Fl -{long}")), "{long}");
            }
        }
    }

    #[test]
    fn times() {
        assert_eq!(nanoseconds("1970-01-01T00:00:01.5Z"), Ok(1_500_000_000));
        assert_eq!(nanoseconds("1970-01-01T01:00:00+01:00"), Ok(0));
        for bad in ["", "yesterday", "1969-12-31T23:59:59Z", "2026-11-26"] {
            assert!(nanoseconds(bad).is_err(), "{bad}");
        }
    }
}
