-- Revocations of groups (an issuer's players, a tenant's, a sign-in's at the provider, one player of an issuer) beside those of
-- users and single tokens, and event tokens that have been acted on. A CHECK cannot be changed in place.

ALTER TABLE kizuna_revocation RENAME TO kizuna_revocation_before_6;
DROP INDEX kizuna_revocation_expires_unix_idx;

CREATE TABLE kizuna_revocation (
    -- 0 every token of the user before an order number, 1 session, 2 refresh; the same as 0 for 3 issuer, 4 tenant, 5 family,
    -- 6 subject; 7 event token
    kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 7),
    user_id BLOB NOT NULL CHECK (length(user_id) = 16), -- for kinds 3 to 7 the hash of what it is about
    token_id BLOB NOT NULL CHECK (length(token_id) = 16), -- nil but for kinds 1 and 2
    revoked_before INTEGER NOT NULL, -- order number; 0 for kinds 1, 2 and 7
    at_unix INTEGER NOT NULL, -- seconds; for kinds 3 to 6 by the issuer's clock
    expires_unix INTEGER NOT NULL, -- seconds; from then on no such token can still be valid
    PRIMARY KEY (kind, user_id, token_id)
) STRICT, WITHOUT ROWID;

INSERT INTO kizuna_revocation SELECT kind, user_id, token_id, revoked_before, at_unix, expires_unix FROM kizuna_revocation_before_6;
DROP TABLE kizuna_revocation_before_6;
CREATE INDEX kizuna_revocation_expires_unix_idx ON kizuna_revocation (expires_unix);
