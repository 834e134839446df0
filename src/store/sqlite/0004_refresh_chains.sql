-- Which refresh token of a chain is the newest. A chain that was never refreshed has no row: its first token is the newest. No
-- reference to users: the token says whose it is.

CREATE TABLE kizuna_refresh_chain (
    token_id BLOB NOT NULL PRIMARY KEY CHECK (length(token_id) = 16),
    generation INTEGER NOT NULL CHECK (generation > 0), -- of the newest token
    used_at_unix INTEGER NOT NULL, -- seconds: when the one before it was presented first
    expires_unix INTEGER NOT NULL -- seconds; from then on no token of the chain can still be valid
) STRICT, WITHOUT ROWID;

CREATE INDEX kizuna_refresh_chain_expires_unix_idx ON kizuna_refresh_chain (expires_unix);

-- How many chains there are, kept beside them: counting them for each new one would cost more than the chain.
CREATE TABLE kizuna_refresh_chain_size (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    chains INTEGER NOT NULL CHECK (chains >= 0)
) STRICT;

INSERT INTO kizuna_refresh_chain_size (one, chains) VALUES (1, 0);
