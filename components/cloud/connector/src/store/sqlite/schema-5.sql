-- Registrations that know their device by other things than the hash of its TPM: ek_sha256 may be
-- NULL until a TPM is bound. SQLite changes a column only by making the table anew.
CREATE TABLE devices_new (
    id                       TEXT PRIMARY KEY,
    tenant                   TEXT NOT NULL,
    edge_id                  TEXT NOT NULL,
    binding                  TEXT NOT NULL,
    ek_sha256                BLOB CHECK (length(ek_sha256) = 32),
    tpm_unproven             INTEGER NOT NULL,
    not_after                INTEGER,
    state                    TEXT NOT NULL,
    state_before_suspension  TEXT,
    approval                 TEXT NOT NULL,
    quote_mode               TEXT NOT NULL,
    pcr7                     BLOB CHECK (length(pcr7) = 32),
    note                     TEXT,
    registered_at            INTEGER NOT NULL,
    registered_by            TEXT NOT NULL,
    changed_at               INTEGER NOT NULL,
    changed_by               TEXT NOT NULL,
    enrolled_at              INTEGER,
    last_seen_at             INTEGER
) STRICT;
INSERT INTO devices_new
    SELECT id, tenant, edge_id, 'ek_sha256', ek_sha256, 0, NULL, state, state_before_suspension,
           approval, quote_mode, pcr7, note, registered_at, registered_by, changed_at, changed_by,
           enrolled_at, last_seen_at
    FROM devices;
DROP TABLE devices;
ALTER TABLE devices_new RENAME TO devices;
CREATE UNIQUE INDEX devices_by_edge_id ON devices (edge_id, tenant) WHERE state <> 'retired';
CREATE UNIQUE INDEX devices_by_ek ON devices (ek_sha256) WHERE state <> 'retired';
CREATE INDEX devices_ever_by_edge_id ON devices (edge_id);
CREATE INDEX devices_ever_by_ek ON devices (ek_sha256);

-- What was given out once at a registration; deleted when it has served.
CREATE TABLE registration_secrets (
    device_id  TEXT PRIMARY KEY REFERENCES devices (id),
    kind       TEXT NOT NULL,
    value      BLOB NOT NULL
) STRICT;

-- CAs of TPM makers that a tenant allows.
CREATE TABLE ek_cas (
    tenant    TEXT NOT NULL,
    sha256    BLOB NOT NULL CHECK (length(sha256) = 32),
    subject   TEXT NOT NULL,
    der       BLOB NOT NULL,
    added_at  INTEGER NOT NULL,
    added_by  TEXT NOT NULL,
    PRIMARY KEY (tenant, sha256)
) STRICT;
