-- The issuing CA that signed a certificate, by its short name; and why it was revoked.
ALTER TABLE certificates ADD COLUMN issuer TEXT;
ALTER TABLE certificates ADD COLUMN revocation_reason TEXT;
CREATE INDEX certificates_by_issuer ON certificates (issuer, not_after);

-- The number of the last revocation list of each issuing CA.
CREATE TABLE crl_numbers (
    issuer  TEXT PRIMARY KEY,
    number  INTEGER NOT NULL
) STRICT;
