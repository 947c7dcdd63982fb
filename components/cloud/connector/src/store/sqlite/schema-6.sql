-- What somebody must look at: events of severity alert, those that repeat as one, until an operator
-- acknowledges them. Events are dropped when there are many; alerts stay.
CREATE TABLE alerts (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Device of the registry, else the Edge ID that was claimed; and the reason code.
    subject          TEXT NOT NULL,
    code             TEXT NOT NULL,
    first_at         INTEGER NOT NULL,
    last_at          INTEGER NOT NULL,
    count            INTEGER NOT NULL,
    event            TEXT NOT NULL,
    acknowledged_at  INTEGER,
    acknowledged_by  TEXT
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (subject, code) WHERE acknowledged_at IS NULL;
