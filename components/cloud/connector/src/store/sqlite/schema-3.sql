-- The recovery keys that open a device's volume, wrapped to an operator.
CREATE TABLE recovery_keys (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id         TEXT NOT NULL REFERENCES devices (id),
    sha256            BLOB NOT NULL CHECK (length(sha256) = 32),
    luks_uuid         TEXT NOT NULL,
    keyslot           INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    occasion          TEXT NOT NULL,
    recipient_sha256  BLOB NOT NULL CHECK (length(recipient_sha256) = 32),
    message           TEXT NOT NULL,
    stored_at         INTEGER NOT NULL,
    UNIQUE (device_id, sha256)
) STRICT;
