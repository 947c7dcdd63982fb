//! The schema, as a list of steps: `PRAGMA user_version` counts those that were taken.

use rusqlite::Connection;

use super::revocations;
use crate::store::StoreError;

const STEPS: [&str; 11] = [
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
    include_str!("schema-6.sql"),
    include_str!("schema-7.sql"),
    include_str!("schema-8.sql"),
    include_str!("schema-9.sql"),
    include_str!("schema-10.sql"),
    include_str!("schema-11.sql"),
];

/// Leaves foreign keys off, since a step may make a table anew.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "foreign_keys", false)?;
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

    #[test]
    fn devices_of_an_older_schema_are_kept() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        for step in &STEPS[..4] {
            connection.execute_batch(step).unwrap();
        }
        connection.pragma_update(None, "user_version", 4).unwrap();
        connection
            .execute_batch(
                "INSERT INTO devices (id, tenant, edge_id, ek_sha256, state, approval, quote_mode,
                     registered_at, registered_by, changed_at, changed_by)
                 VALUES ('d', 'demo', 'SN-1', zeroblob(32), 'active', 'auto', 'enforce',
                     1, 'a', 2, 'b'),
                     ('e', 'demo', 'SN-2', randomblob(32), 'active', 'auto', 'record',
                     1, 'a', 2, 'b');
                 INSERT INTO certificates (serial, device_id, spki_sha256, not_before, not_after,
                     attested, der)
                 VALUES ('01', 'd', zeroblob(32), 1, 2, 1, x'');",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let kept: (String, Vec<u8>) = connection
            .query_row(
                "SELECT binding, ek_sha256 FROM devices JOIN certificates ON device_id = id",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(kept, ("ek_sha256".to_owned(), vec![0; 32]));
        let modes: Vec<Option<String>> = connection
            .prepare("SELECT quote_mode FROM devices ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(modes, [None, Some("record".to_owned())]);
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        let orphan = "INSERT INTO registration_secrets VALUES ('nobody', 'k', x'')";
        assert!(connection.execute_batch(orphan).is_err());
        let orphan = "UPDATE devices SET group_name = 'nowhere'";
        assert!(connection.execute_batch(orphan).is_err());
        let broken = connection.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap();
        assert!(!broken);
    }
}
