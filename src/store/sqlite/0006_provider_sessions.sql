-- Refresh tokens of identity providers, encrypted, one for each session that is renewed by them.

CREATE TABLE kizuna_provider_session (
    token_id BLOB NOT NULL PRIMARY KEY CHECK (length(token_id) = 16), -- the claim tid of the session's tokens
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client TEXT NOT NULL, -- name of the login client
    sealed BLOB NOT NULL, -- AES-256-GCM: nonce, ciphertext, tag
    renewed_unix INTEGER NOT NULL, -- seconds
    expires_unix INTEGER NOT NULL -- seconds; from then on the session cannot be refreshed
) STRICT, WITHOUT ROWID;

CREATE INDEX kizuna_provider_session_user_idx ON kizuna_provider_session (user_id, token_id);
CREATE INDEX kizuna_provider_session_expires_idx ON kizuna_provider_session (expires_unix);
