//! Which certificates hold, by the CA that issued them.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use time::{Duration, OffsetDateTime};

use super::columns;
use crate::ca::{CaId, RevokedCertificate, Serial};
use crate::registry::{CertificateStanding, Revocation, RevocationReason};
use crate::store::StoreError;

/// An entry stays for one list after its certificate ended (RFC 5280, 3.3).
const KEPT_AFTER_END: Duration = Duration::hours(25);

fn standing(row: &Row<'_>) -> rusqlite::Result<CertificateStanding> {
    let reason = columns::optional_text(row, "revocation_reason")?;
    let revoked = columns::optional_time(row, "revoked_at")?
        .map(|at| Revocation { at, reason: reason.unwrap_or(RevocationReason::Unspecified) });
    Ok(CertificateStanding {
        revoked,
        accepted_until: columns::optional_time(row, "accepted_until")?,
        device_state: columns::text(row, "state")?,
        device_changed_at: columns::time(row, "changed_at")?,
    })
}

pub(super) fn standings(
    db: &Connection,
    ca: &CaId,
    serials: &[Serial],
) -> Result<Vec<Option<CertificateStanding>>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT c.revoked_at, c.revocation_reason, c.accepted_until, d.state, d.changed_at
         FROM certificates c JOIN devices d ON d.id = c.device_id
         WHERE c.serial = ?1 AND c.issuer = ?2",
    )?;
    serials
        .iter()
        .map(|serial| Ok(query.query_row([serial.as_str(), ca.as_str()], standing).optional()?))
        .collect()
}

/// Everything that a list of `ca` names now, by serial number.
pub(super) fn revoked(
    db: &Connection,
    ca: &CaId,
    now: OffsetDateTime,
) -> Result<Vec<RevokedCertificate>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT c.serial, c.revoked_at, c.revocation_reason, c.accepted_until, d.state, d.changed_at
         FROM certificates c JOIN devices d ON d.id = c.device_id
         WHERE c.issuer = ?1 AND c.not_after > ?2
           AND (c.revoked_at IS NOT NULL OR c.accepted_until <= ?3
                OR d.state IN ('suspended', 'revoked', 'retired'))
         ORDER BY c.serial",
    )?;
    let not_before = (now - KEPT_AFTER_END).unix_timestamp();
    let rows = query.query_map(params![ca.as_str(), not_before, now.unix_timestamp()], |row| {
        Ok((columns::text(row, "serial")?, standing(row)?.revocation(now)))
    })?;
    let mut revoked = Vec::new();
    for row in rows {
        if let (serial, Some(revocation)) = row? {
            revoked.push(RevokedCertificate { serial, revocation });
        }
    }
    Ok(revoked)
}

/// A number that no list of `ca` had before, also after a crash.
pub(super) fn next_crl_number(db: &Connection, ca: &CaId) -> Result<u64, StoreError> {
    let number: i64 = db.query_row(
        "INSERT INTO crl_numbers (issuer, number) VALUES (?1, 1)
         ON CONFLICT (issuer) DO UPDATE SET number = number + 1 RETURNING number",
        [ca.as_str()],
        |row| row.get(0),
    )?;
    u64::try_from(number)
        .map_err(|_| StoreError::Database(format!("the list number of CA {ca} is negative")))
}

/// Devices whose newest certificate is of one of these CAs and still holds.
pub(super) fn devices_of_issuers(
    db: &Connection,
    cas: &[CaId],
    now: OffsetDateTime,
) -> Result<u64, StoreError> {
    let mut devices = 0;
    for ca in cas {
        devices += db.query_row(
            "SELECT count(*) FROM certificates WHERE issuer = ?1 AND not_after > ?2
             AND revoked_at IS NULL AND accepted_until IS NULL",
            params![ca.as_str(), now.unix_timestamp()],
            |row| row.get::<_, u32>(0),
        )?;
    }
    Ok(devices.into())
}

/// Revokes what these CAs issued.
pub(super) fn retire_issuers(
    db: &Connection,
    cas: &[CaId],
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    for ca in cas {
        db.execute(
            "UPDATE certificates SET revoked_at = ?2, revocation_reason = ?3
             WHERE issuer = ?1 AND revoked_at IS NULL",
            params![ca.as_str(), at.unix_timestamp(), RevocationReason::Superseded.as_str()],
        )?;
    }
    Ok(())
}

/// Writes down the issuer of certificates from before it was kept.
pub(super) fn name_issuers(db: &Connection) -> Result<(), StoreError> {
    let unnamed: Vec<(String, Vec<u8>)> = db
        .prepare("SELECT serial, der FROM certificates WHERE issuer IS NULL")?
        .query_map([], |row| Ok((row.get("serial")?, row.get("der")?)))?
        .collect::<Result<_, _>>()?;
    for (serial, der) in unnamed {
        if let Some(ca) = CaId::of_issuer(&der) {
            db.execute(
                "UPDATE certificates SET issuer = ?2 WHERE serial = ?1",
                [serial.as_str(), ca.as_str()],
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::{Assurance, Authority, LeafSubject, Passphrases};
    use crate::clock::from_unix;
    use crate::store::sqlite::schema;

    #[test]
    fn certificates_from_before_learn_their_issuer() {
        let folder = tempfile::tempdir().unwrap();
        let now = from_unix(1_800_000_000);
        let path = folder.path().join("ca");
        let (authority, _) =
            Authority::open_or_create(&path, &Passphrases::default(), now).unwrap();
        let spki =
            rcgen::PublicKeyData::subject_public_key_info(&rcgen::KeyPair::generate().unwrap());
        let subject = LeafSubject { device_id: uuid::Uuid::nil(), edge_id: "SN-1", tenant: "demo" };
        let leaf = authority.issue_leaf(subject, &spki, Assurance::Attested, now).unwrap();

        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("schema-1.sql")).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        db.execute_batch(
            "INSERT INTO devices VALUES ('d', 'demo', 'SN-1', zeroblob(32), 'active', NULL, 'auto',
                 'enforce', NULL, NULL, 0, 'a', 0, 'a', 0, 0)",
        )
        .unwrap();
        let add = "INSERT INTO certificates VALUES (?1, 'd', zeroblob(32), 0, 9, 1, NULL, 5, ?2)";
        db.execute(add, params![leaf.serial.as_str(), leaf.der.as_ref()]).unwrap();
        db.execute(add, params!["77", b"no certificate"]).unwrap();
        schema::migrate(&mut db).unwrap();

        let ca = authority.issuing_cas().next().unwrap().id();
        let found = standings(&db, ca, &[leaf.serial.clone(), "77".parse().unwrap()]).unwrap();
        let revoked = found[0].unwrap().revoked.unwrap();
        assert_eq!(revoked.reason, RevocationReason::Unspecified);
        assert_eq!(revoked.at, from_unix(5));
        assert_eq!(found[1], None);
    }
}
