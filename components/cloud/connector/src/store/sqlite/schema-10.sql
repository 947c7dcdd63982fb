-- What is said of USB ports: of the devices of a group, and of single devices. NULL says nothing.
CREATE TABLE group_usb_policies (
    tenant      TEXT NOT NULL,
    name        TEXT NOT NULL,
    rules       TEXT,
    ports       TEXT,
    -- Grows with each change.
    version     INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    changed_by  TEXT NOT NULL,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY (tenant, name) REFERENCES groups (tenant, name)
) STRICT;

CREATE TABLE device_usb_policies (
    device_id   TEXT PRIMARY KEY REFERENCES devices (id),
    rules       TEXT,
    ports       TEXT,
    version     INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    changed_by  TEXT NOT NULL
) STRICT;

-- The document that each device was given last.
CREATE TABLE told_usb_policies (
    device_id       TEXT PRIMARY KEY REFERENCES devices (id),
    -- Grows with each change of the content.
    version         INTEGER NOT NULL,
    content_sha256  BLOB NOT NULL CHECK (length(content_sha256) = 32),
    issued_at       INTEGER NOT NULL
) STRICT;
