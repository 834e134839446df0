-- The groups by which a session that a provider renews can be ended: its row goes in the transaction that ends them.

CREATE TABLE kizuna_provider_session_scope (
    key BLOB NOT NULL CHECK (length(key) = 16), -- hash of the group's kind and name
    token_id BLOB NOT NULL REFERENCES kizuna_provider_session (token_id) ON DELETE CASCADE,
    PRIMARY KEY (key, token_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX kizuna_provider_session_scope_token_idx ON kizuna_provider_session_scope (token_id);
