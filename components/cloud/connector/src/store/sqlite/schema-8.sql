-- What each device said of its last boot, JSON.
CREATE TABLE boot_reports (
    device_id    TEXT PRIMARY KEY REFERENCES devices (id),
    report       TEXT NOT NULL,
    received_at  INTEGER NOT NULL
) STRICT;
