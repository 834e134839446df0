-- Identity tokens that have been used, by the SHA-256 of what they sign, until they have expired. No reference to users: what was used
-- stays so when the account is gone.

CREATE TABLE kizuna_token_use (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    user_id BLOB NOT NULL CHECK (length(user_id) = 16),
    at_unix INTEGER NOT NULL, -- seconds: the first use
    session TEXT, -- JSON: what the pair of tokens was made from; gone when it is not to be answered again
    session_until_unix INTEGER NOT NULL, -- seconds; from then on it is not
    expires_unix INTEGER NOT NULL -- seconds; from then on the token is refused for its age
) STRICT, WITHOUT ROWID;

CREATE INDEX kizuna_token_use_expires_unix_idx ON kizuna_token_use (expires_unix);
CREATE INDEX kizuna_token_use_session_idx ON kizuna_token_use (session_until_unix) WHERE session IS NOT NULL;

-- How many there are, kept beside them: counting them for each new one would cost more than the use.
CREATE TABLE kizuna_token_use_size (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    uses INTEGER NOT NULL CHECK (uses >= 0)
) STRICT;

INSERT INTO kizuna_token_use_size (one, uses) VALUES (1, 0);
