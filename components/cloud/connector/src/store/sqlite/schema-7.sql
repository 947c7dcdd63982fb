-- Groups. A device's own quote mode becomes optional: NULL is what its group says, else enforce.
-- 'enforce' was the default, so that it may not have been said at all; it stays what is in force
-- until an operator puts the device into a group.
CREATE TABLE groups (
    tenant        TEXT NOT NULL,
    name          TEXT NOT NULL,
    quote_policy  TEXT NOT NULL,
    changed_at    INTEGER NOT NULL,
    changed_by    TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;

CREATE TABLE devices_new (
    id                       TEXT PRIMARY KEY,
    tenant                   TEXT NOT NULL,
    edge_id                  TEXT NOT NULL,
    group_name               TEXT,
    binding                  TEXT NOT NULL,
    ek_sha256                BLOB CHECK (length(ek_sha256) = 32),
    tpm_unproven             INTEGER NOT NULL,
    not_after                INTEGER,
    state                    TEXT NOT NULL,
    state_before_suspension  TEXT,
    approval                 TEXT NOT NULL,
    quote_mode               TEXT,
    pcr7                     BLOB CHECK (length(pcr7) = 32),
    note                     TEXT,
    registered_at            INTEGER NOT NULL,
    registered_by            TEXT NOT NULL,
    changed_at               INTEGER NOT NULL,
    changed_by               TEXT NOT NULL,
    enrolled_at              INTEGER,
    last_seen_at             INTEGER,
    FOREIGN KEY (tenant, group_name) REFERENCES groups (tenant, name)
) STRICT;
INSERT INTO devices_new
    SELECT id, tenant, edge_id, NULL, binding, ek_sha256, tpm_unproven, not_after, state,
           state_before_suspension, approval, NULLIF(quote_mode, 'enforce'), pcr7, note,
           registered_at, registered_by, changed_at, changed_by, enrolled_at, last_seen_at
    FROM devices;
DROP TABLE devices;
ALTER TABLE devices_new RENAME TO devices;
CREATE UNIQUE INDEX devices_by_edge_id ON devices (edge_id, tenant) WHERE state <> 'retired';
CREATE UNIQUE INDEX devices_by_ek ON devices (ek_sha256) WHERE state <> 'retired';
CREATE INDEX devices_ever_by_edge_id ON devices (edge_id);
CREATE INDEX devices_ever_by_ek ON devices (ek_sha256);
CREATE INDEX devices_by_group ON devices (tenant, group_name) WHERE group_name IS NOT NULL;
