//! What a command prints: tables for people, one JSON document for programs.

use std::io::Write as _;

use serde::Serialize;

use super::Exit;

/// Where results go.
pub struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: the value as JSON, or what `text` makes of it.
    pub(super) fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Exit> {
        let printed = if self.json {
            serde_json::to_string_pretty(value).map_err(|e| Exit::Failed(e.to_string()))?
        } else {
            text(value)
        };
        let mut stdout = std::io::stdout().lock();
        // A reader that has seen enough (`| head`) is no failure of the command.
        let _ = writeln!(stdout, "{}", printed.trim_end());
        Ok(())
    }

    /// Tells people something beside the result, on standard error.
    pub(super) fn note(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Prints what went wrong to standard error.
    pub(super) fn error(&self, exit: &Exit) {
        let mut stderr = std::io::stderr().lock();
        let _ = if self.json {
            let request_id = match exit {
                Exit::Refused { request_id, .. } => Some(request_id),
                _ => None,
            };
            let error = serde_json::json!({
                "error": {
                    "code": exit.name(),
                    "detail": exit.to_string(),
                    "request_id": request_id,
                }
            });
            writeln!(stderr, "{error}")
        } else {
            match exit {
                Exit::Refused { code, request_id, .. } => {
                    writeln!(stderr, "holdfast-cloud: {exit} ({code}, request {request_id})")
                }
                _ => writeln!(stderr, "holdfast-cloud: {exit}"),
            }
        };
    }
}

/// Columns as wide as their widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    });
    let line = |cells: [&str; N]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{}{}", cell, " ".repeat(width - cell.chars().count())))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(head)];
    lines.extend(rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str()))));
    lines.join("\n")
}

/// Day and time to the second, UTC.
pub(super) fn moment(at: time::OffsetDateTime) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    at.format(format).unwrap_or_else(|_| at.to_string())
}

/// The same, or a dash.
pub(super) fn optional_moment(at: Option<time::OffsetDateTime>) -> String {
    at.map_or_else(|| "-".to_owned(), moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a".to_owned(), "long".to_owned()], ["bb".to_owned(), "x".to_owned()]];
        assert_eq!(table(["K", "VALUE"], &rows), "K   VALUE\na   long\nbb  x");
    }
}
