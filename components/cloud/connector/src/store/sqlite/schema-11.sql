-- What is plugged into the USB ports of devices, and what was decided about it, JSON.
CREATE TABLE usb_devices (
    device_id   TEXT NOT NULL REFERENCES devices (id),
    name        TEXT NOT NULL,
    decision    TEXT NOT NULL,
    decided_at  INTEGER NOT NULL,
    PRIMARY KEY (device_id, name)
) STRICT, WITHOUT ROWID;
