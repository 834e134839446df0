-- Notices to webhooks: written with what they tell of, gone once delivered.

CREATE TABLE kizuna_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hook TEXT NOT NULL,
    body TEXT NOT NULL,
    due_unix_millis INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX kizuna_outbox_due_idx ON kizuna_outbox (due_unix_millis, id);

-- How many notices wait, kept beside them: counting 100,000 rows for each new one would cost more than the notice.
CREATE TABLE kizuna_outbox_size (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    notices INTEGER NOT NULL CHECK (notices >= 0)
) STRICT;

INSERT INTO kizuna_outbox_size (one, notices) VALUES (1, 0);
