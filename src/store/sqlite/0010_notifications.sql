-- Nakama's own table and columns (spec/db-schema.md section 6). Only notifications that are to be listed are stored.

CREATE TABLE notification (
    id BLOB NOT NULL CONSTRAINT notification_id_key UNIQUE CHECK (length(id) = 16),
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    subject TEXT NOT NULL CHECK (length(subject) <= 255),
    content TEXT NOT NULL DEFAULT '{}',
    code INTEGER NOT NULL CHECK (code BETWEEN -32768 AND 32767),
    sender_id BLOB NOT NULL CHECK (length(sender_id) = 16), -- all zeros: the server
    create_time INTEGER NOT NULL,
    PRIMARY KEY (user_id, create_time, id)
) STRICT;

-- Ours: what one player has caused is counted at every invite.
CREATE INDEX notification_by_players_idx ON notification (user_id, sender_id, create_time) WHERE code BETWEEN -999 AND -1;
