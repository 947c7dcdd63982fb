//! The table: CSV (RFC 4180) whose first line names the columns.

use std::collections::HashMap;
use std::str::FromStr;

use csv::{ReaderBuilder, StringRecord, Trim};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::management::types::RegisterDevice;

const COLUMNS: [&str; 9] = [
    "edge_id",
    "binding",
    "ek_sha256",
    "approval",
    "quote_mode",
    "group",
    "not_after",
    "note",
    "tenant",
];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A device that the table names.
#[derive(Debug)]
pub(super) struct Row {
    /// Its line, from 1; that of the column names is the first.
    pub(super) line: u64,
    /// What it says.
    pub(super) wanted: RegisterDevice,
}

/// Reads the table. The errors name line and column, all that there are.
pub(super) fn parse(table: &[u8]) -> Result<Vec<Row>, Vec<String>> {
    // Spreadsheets write one.
    let table = table.strip_prefix(BYTE_ORDER_MARK).unwrap_or(table);
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(table);
    let names = reader.headers().map_err(|error| vec![fault(table, &error)])?.clone();
    let columns = columns(&names)?;
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    let mut lines: HashMap<(Option<String>, String), u64> = HashMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.push(fault(table, &error));
                continue;
            }
        };
        let line = record.position().map_or(0, |at| line_of(table, at));
        if record.len() != names.len() {
            faults.push(format!(
                "line {line}: it has {} fields, the first line names {} columns",
                record.len(),
                names.len()
            ));
            continue;
        }
        match row(&columns, &record) {
            Ok(wanted) => {
                let tenant = wanted.tenant.as_ref().map(ToString::to_string);
                let key = (tenant, wanted.edge_id.to_ascii_uppercase());
                match lines.insert(key, line) {
                    Some(first) => faults.push(format!(
                        "line {line}: edge_id: {} is in line {first} already",
                        wanted.edge_id
                    )),
                    None => rows.push(Row { line, wanted }),
                }
            }
            Err(problem) => faults.push(format!("line {line}: {problem}")),
        }
    }
    if faults.is_empty() && rows.is_empty() {
        faults.push("there is no device in it; one line per device, below the names".to_owned());
    }
    if faults.is_empty() { Ok(rows) } else { Err(faults) }
}

/// Where each known column is.
fn columns(names: &StringRecord) -> Result<HashMap<&'static str, usize>, Vec<String>> {
    let mut columns = HashMap::new();
    for (at, name) in names.iter().enumerate() {
        let Some(known) = COLUMNS.iter().find(|known| name.eq_ignore_ascii_case(known)) else {
            let shown: String = name.chars().take(60).collect();
            return Err(vec![format!(
                "line 1: there is no column {shown:?}; separated by commas there can be {}",
                COLUMNS.join(", ")
            )]);
        };
        if columns.insert(*known, at).is_some() {
            return Err(vec![format!("line 1: column {known} is there twice")]);
        }
    }
    if columns.contains_key("edge_id") {
        Ok(columns)
    } else {
        Err(vec!["line 1: column edge_id is missing".to_owned()])
    }
}

fn row(
    columns: &HashMap<&'static str, usize>,
    record: &StringRecord,
) -> Result<RegisterDevice, String> {
    let text = |name: &str| {
        columns.get(name).and_then(|at| record.get(*at)).filter(|field| !field.is_empty())
    };
    let not_after = text("not_after").map(|text| OffsetDateTime::parse(text, &Rfc3339));
    Ok(RegisterDevice {
        tenant: field("tenant", text("tenant"))?,
        edge_id: text("edge_id").ok_or("edge_id: it is empty")?.to_owned(),
        binding: field("binding", text("binding"))?.unwrap_or_default(),
        ek_sha256: field("ek_sha256", text("ek_sha256"))?,
        not_after: not_after
            .transpose()
            .map_err(|error| format!("not_after: {error}; expected like 2027-01-31T00:00:00Z"))?,
        approval: field("approval", text("approval"))?,
        quote_mode: field("quote_mode", text("quote_mode"))?,
        group: field("group", text("group"))?,
        note: text("note").map(str::to_owned),
    })
}

fn field<T: FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<&str>,
) -> Result<Option<T>, String> {
    text.map(str::parse).transpose().map_err(|error| format!("{name}: {error}"))
}

/// The line in which a record begins: its position is before the line feed of the line above where
/// lines end in CRLF, and before empty lines.
fn line_of(table: &[u8], at: &csv::Position) -> u64 {
    let rest = usize::try_from(at.byte()).ok().and_then(|start| table.get(start..));
    let ends = rest.unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    (at.line()..).nth(ends.filter(|byte| **byte == b'\n').count()).unwrap_or(u64::MAX)
}

fn fault(table: &[u8], error: &csv::Error) -> String {
    let line = error.position().map_or(1, |at| line_of(table, at));
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => format!("line {line}: it is not UTF-8"),
        _ => format!("line {line}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::{Approval, Binding, QuoteMode};

    const EK: &str = "9cba9f7d1fa3d89198821da8f6b17fd0346560431cf5f6608e6ee33221a2ff2e";

    #[test]
    fn columns_stand_in_any_order_and_may_be_empty() {
        let table = format!(
            "\u{feff}Note,edge_id , ek_sha256,binding,approval,quote_mode,group,not_after,tenant\r\n\
             \"rack 7, left\",SN-1,{EK},,,,,,\r\n\
             ,SN-2,,ek_ca,auto,record,lab,2027-01-31T00:00:00Z,demo\r\n\
             \r\n\"two\nlines\",SN-3,{EK},,,,,,\n\nlast,SN-4,{EK},,,,,,"
        );
        let rows = parse(table.as_bytes()).unwrap();
        let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [2, 3, 5, 8]);
        let [first, second, third, _] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(first.wanted.note.as_deref(), Some("rack 7, left"));
        assert_eq!(first.wanted.binding, Binding::EkSha256);
        assert_eq!(first.wanted.ek_sha256.unwrap().to_string(), EK);
        assert_eq!(second.wanted.binding, Binding::EkCa);
        assert_eq!(second.wanted.approval, Some(Approval::Auto));
        assert_eq!(first.wanted.quote_mode, None);
        assert_eq!(second.wanted.quote_mode, Some(QuoteMode::Record));
        assert_eq!(second.wanted.group.as_ref().unwrap().as_str(), "lab");
        assert_eq!(second.wanted.tenant.as_ref().unwrap().as_str(), "demo");
        assert_eq!(second.wanted.not_after.unwrap().year(), 2027);
        assert_eq!(third.wanted.note.as_deref(), Some("two\nlines"));
    }

    #[test]
    fn faults_are_named_all_at_once() {
        for (table, faults) in [
            ("", &["column edge_id is missing"][..]),
            ("edge_id;ek_sha256\nA;b\n", &["line 1: there is no column \"edge_id;ek_sha256\""]),
            ("edge_id,edge_id\n", &["line 1: column edge_id is there twice"]),
            ("binding\nek_ca\n", &["line 1: column edge_id is missing"]),
            ("edge_id\n", &["there is no device in it"]),
            ("edge_id,note\nA\nB,c,d\n", &["line 2: it has 1 fields", "line 3: it has 3 fields"]),
            (
                "edge_id,ek_sha256,binding\n,,\nA,12,\nB,,tpm\nB2,,ek_ca\nb2,,ek_ca\n",
                &[
                    "line 2: edge_id: it is empty",
                    "line 3: ek_sha256: ",
                    "line 4: binding: ",
                    "line 6: edge_id: b2 is in line 5 already",
                ],
            ),
            ("edge_id,not_after\nA,tomorrow\n", &["line 2: not_after: "]),
            ("edge_id,group\nA,Line 7\n", &["line 2: group: \"Line 7\" is not a group"]),
        ] {
            let found = parse(table.as_bytes()).unwrap_err();
            assert_eq!(found.len(), faults.len(), "{table:?}: {found:?}");
            for (found, fault) in found.iter().zip(faults) {
                assert!(found.contains(fault), "{table:?}: {found}");
            }
        }
        let found = parse(b"edge_id\nA\n\xff\n").unwrap_err();
        assert_eq!(found, ["line 3: it is not UTF-8"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(table in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&table);
            let _ = parse(&[b"edge_id,note\n".as_slice(), &table].concat());
        }
    }
}
