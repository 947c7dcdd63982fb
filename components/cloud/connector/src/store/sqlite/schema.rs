//! The schema, as a list of steps: `PRAGMA user_version` counts those that were taken.

use rusqlite::Connection;

use super::revocations;
use crate::store::StoreError;

const STEPS: [&str; 4] = [
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
];

pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let taken: usize = transaction
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?
        .try_into()
        .map_err(|_| StoreError::Database("the schema version is negative".into()))?;
    if taken > STEPS.len() {
        return Err(StoreError::Database(format!(
            "the database has schema {taken}, this program knows {}; use the newer holdfast-cloud",
            STEPS.len()
        )));
    }
    for step in &STEPS[taken..] {
        transaction.execute_batch(step)?;
    }
    revocations::name_issuers(&transaction)?;
    transaction.pragma_update(None, "user_version", STEPS.len())?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_changes_nothing_and_a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut connection).unwrap_err().to_string();
        assert!(error.contains("schema 99"), "{error}");
    }
}
