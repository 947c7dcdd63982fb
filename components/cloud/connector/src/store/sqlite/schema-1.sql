-- Times are seconds since the epoch. Digests are 32 bytes.
CREATE TABLE devices (
    id                       TEXT PRIMARY KEY,
    tenant                   TEXT NOT NULL,
    edge_id                  TEXT NOT NULL,
    ek_sha256                BLOB NOT NULL CHECK (length(ek_sha256) = 32),
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
-- One Edge ID, one TPM: the database holds it even if the program errs.
CREATE UNIQUE INDEX devices_by_edge_id ON devices (edge_id, tenant) WHERE state <> 'retired';
CREATE UNIQUE INDEX devices_by_ek ON devices (ek_sha256) WHERE state <> 'retired';
CREATE INDEX devices_ever_by_edge_id ON devices (edge_id);
CREATE INDEX devices_ever_by_ek ON devices (ek_sha256);

CREATE TABLE certificates (
    serial          TEXT PRIMARY KEY,
    device_id       TEXT NOT NULL REFERENCES devices (id),
    spki_sha256     BLOB NOT NULL,
    not_before      INTEGER NOT NULL,
    not_after       INTEGER NOT NULL,
    attested        INTEGER NOT NULL,
    accepted_until  INTEGER,
    revoked_at      INTEGER,
    der             BLOB NOT NULL
) STRICT;
CREATE INDEX certificates_by_device ON certificates (device_id, not_before);

CREATE TABLE enrolments (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id           TEXT NOT NULL REFERENCES devices (id),
    at                  INTEGER NOT NULL,
    certificate_serial  TEXT NOT NULL REFERENCES certificates (serial),
    record              TEXT NOT NULL,
    evidence            BLOB NOT NULL,
    ak_public           BLOB NOT NULL,
    ek_certificates     TEXT NOT NULL
) STRICT;
CREATE INDEX enrolments_by_device ON enrolments (device_id);

CREATE TABLE releases (
    uki_sha256    BLOB PRIMARY KEY,
    measurement   TEXT NOT NULL,
    published_at  INTEGER NOT NULL,
    published_by  TEXT NOT NULL,
    withdrawn_at  INTEGER
) STRICT;

CREATE TABLE sites (
    sha256     BLOB PRIMARY KEY,
    tenant     TEXT NOT NULL,
    document   TEXT NOT NULL,
    signature  BLOB NOT NULL,
    added_at   INTEGER NOT NULL,
    added_by   TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    severity    INTEGER NOT NULL,
    device_id   TEXT,
    edge_id     TEXT,
    request_id  TEXT,
    event       TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_device ON events (device_id, id);
CREATE INDEX events_by_edge_id ON events (edge_id, id);
CREATE INDEX events_by_request ON events (request_id);

CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    tenant     TEXT,
    device_id  TEXT,
    record     TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_device ON audit (device_id, id);
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END;

CREATE TABLE api_keys (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    role           TEXT NOT NULL,
    secret_sha256  BLOB NOT NULL,
    created_at     INTEGER NOT NULL,
    created_by     TEXT NOT NULL,
    revoked_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_at IS NULL;
