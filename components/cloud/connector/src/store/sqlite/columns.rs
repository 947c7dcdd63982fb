//! Column values and their types in the program.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;
use time::OffsetDateTime;

use crate::clock::from_unix;
use crate::registry::Digest;

/// A text column as the type that it spells.
pub(super) fn text<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    parse(&row.get::<_, String>(column)?)
}

/// A text column that may be NULL.
pub(super) fn optional_text<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get::<_, Option<String>>(column)?.map(|text| parse(&text)).transpose()
}

fn parse<T>(text: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))
}

/// A JSON column.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
) -> rusqlite::Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))
}

/// JSON for a column.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

pub(super) fn digest(row: &Row<'_>, column: &str) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest)
}

pub(super) fn optional_digest(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Digest>> {
    row.get::<_, Option<[u8; 32]>>(column).map(|bytes| bytes.map(Digest))
}

pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<OffsetDateTime> {
    row.get(column).map(from_unix)
}

pub(super) fn optional_time(
    row: &Row<'_>,
    column: &str,
) -> rusqlite::Result<Option<OffsetDateTime>> {
    row.get::<_, Option<i64>>(column).map(|seconds| seconds.map(from_unix))
}
