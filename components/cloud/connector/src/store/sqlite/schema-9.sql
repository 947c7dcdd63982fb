-- Audit logs of devices. Their records lie in files, one per batch; here is up to where a log is
-- stored and what each batch is about.
CREATE TABLE device_logs (
    id             TEXT PRIMARY KEY,
    device_id      TEXT NOT NULL REFERENCES devices (id),
    key_spki       BLOB NOT NULL,
    state          TEXT NOT NULL,
    size           INTEGER NOT NULL,
    head           BLOB NOT NULL CHECK (length(head) = 32),
    frontier       BLOB NOT NULL,
    -- The last start of the device that a checkpoint is bound to, JSON.
    boot           TEXT,
    -- Size that the last checkpoint signed.
    checkpoint     INTEGER,
    -- The log that this one follows, as the device says, JSON.
    previous       TEXT,
    registered_at  INTEGER NOT NULL,
    uploaded_at    INTEGER
) STRICT;
CREATE INDEX device_logs_by_device ON device_logs (device_id, registered_at);
CREATE UNIQUE INDEX device_logs_open ON device_logs (device_id) WHERE state = 'open';

CREATE TABLE device_log_batches (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    log          TEXT NOT NULL REFERENCES device_logs (id),
    device_id    TEXT NOT NULL,
    first        INTEGER NOT NULL,
    records      INTEGER NOT NULL,
    -- Of the file.
    bytes        INTEGER NOT NULL,
    sha256       BLOB NOT NULL CHECK (length(sha256) = 32),
    -- Nanoseconds since the epoch.
    earliest     INTEGER NOT NULL,
    latest       INTEGER NOT NULL,
    -- Bit masks.
    classes      INTEGER NOT NULL,
    kinds        INTEGER NOT NULL,
    -- 0: device_log_users does not have all users.
    users_known  INTEGER NOT NULL,
    UNIQUE (log, first)
) STRICT;
CREATE INDEX device_log_batches_by_device ON device_log_batches (device_id, id);

CREATE TABLE device_log_users (
    batch  INTEGER NOT NULL REFERENCES device_log_batches (id),
    uid    INTEGER NOT NULL,
    PRIMARY KEY (batch, uid)
) STRICT, WITHOUT ROWID;
