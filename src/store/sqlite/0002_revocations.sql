-- Log-outs, bans and deletions: tokens that no longer count although they have not expired. No reference to users: a deleted
-- account's tokens stay revoked.

CREATE TABLE kizuna_revocation (
    kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2), -- 0 every token of the user before an order number, 1 session, 2 refresh
    user_id BLOB NOT NULL CHECK (length(user_id) = 16),
    token_id BLOB NOT NULL CHECK (length(token_id) = 16), -- nil for kind 0
    revoked_before INTEGER NOT NULL, -- order number; 0 for kinds 1 and 2
    at_unix INTEGER NOT NULL, -- seconds
    expires_unix INTEGER NOT NULL, -- seconds; from then on no such token can still be valid
    PRIMARY KEY (kind, user_id, token_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX kizuna_revocation_expires_unix_idx ON kizuna_revocation (expires_unix);
