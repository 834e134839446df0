-- Nakama's own table and columns (spec/db-schema.md section 3). state: 0 friend, 1 invited them, 2 was invited, 3 blocked them.

CREATE TABLE user_edge (
    source_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE CHECK (source_id <> zeroblob(16)),
    position INTEGER NOT NULL, -- nanoseconds since 1970: when the pair of edges was made
    update_time INTEGER NOT NULL,
    destination_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE CHECK (destination_id <> zeroblob(16)),
    state INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 3),
    metadata TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (source_id, state, position)
) STRICT;

CREATE UNIQUE INDEX user_edge_source_id_destination_id_key ON user_edge (source_id, destination_id);
CREATE INDEX user_edge_destination_id_idx ON user_edge (destination_id);
