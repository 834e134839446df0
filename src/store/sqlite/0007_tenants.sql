-- The tenant of an account, where it has one: given once, and never changed.

CREATE TABLE kizuna_user_tenant (
    user_id BLOB NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    tenant BLOB NOT NULL CHECK (length(tenant) = 16) -- the first 16 bytes of SHA-256 over "tenant", NUL, and its name
) STRICT, WITHOUT ROWID;
