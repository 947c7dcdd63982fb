-- For whom devices may have tokens. Scopes are a JSON list.
CREATE TABLE token_audiences (
    tenant    TEXT NOT NULL,
    audience  TEXT NOT NULL,
    scopes    TEXT NOT NULL,
    added_at  INTEGER NOT NULL,
    added_by  TEXT NOT NULL,
    PRIMARY KEY (tenant, audience)
) STRICT;
