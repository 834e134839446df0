-- Nakama's own tables and columns (spec/db-schema.md). uuid is BLOB of 16 bytes, timestamptz is INTEGER microseconds since
-- 1970 (0: never), jsonb is TEXT as PostgreSQL prints it. An identifier that may be missing has a partial index: an account
-- that does not have it costs nothing there.

CREATE TABLE migration_info (
    id TEXT NOT NULL PRIMARY KEY,
    applied_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    username TEXT NOT NULL CONSTRAINT users_username_key UNIQUE CHECK (length(username) <= 128),
    display_name TEXT CHECK (length(display_name) <= 255),
    avatar_url TEXT CHECK (length(avatar_url) <= 512),
    lang_tag TEXT NOT NULL DEFAULT 'en' CHECK (length(lang_tag) <= 18),
    location TEXT CHECK (length(location) <= 255),
    timezone TEXT CHECK (length(timezone) <= 255),
    metadata TEXT NOT NULL DEFAULT '{}',
    wallet TEXT NOT NULL DEFAULT '{}',
    email TEXT CHECK (length(email) <= 255),
    password BLOB CHECK (length(password) < 32000),
    facebook_id TEXT CHECK (length(facebook_id) <= 128),
    google_id TEXT CHECK (length(google_id) <= 128),
    gamecenter_id TEXT CHECK (length(gamecenter_id) <= 128),
    steam_id TEXT CHECK (length(steam_id) <= 128),
    custom_id TEXT CHECK (length(custom_id) <= 128),
    edge_count INTEGER NOT NULL DEFAULT 0 CHECK (edge_count >= 0),
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    verify_time INTEGER NOT NULL DEFAULT 0,
    disable_time INTEGER NOT NULL DEFAULT 0,
    facebook_instant_game_id TEXT CHECK (length(facebook_instant_game_id) <= 128),
    apple_id TEXT CHECK (length(apple_id) <= 128)
) STRICT;

CREATE UNIQUE INDEX users_email_key ON users (email) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX users_custom_id_key ON users (custom_id) WHERE custom_id IS NOT NULL;
CREATE UNIQUE INDEX users_facebook_id_key ON users (facebook_id) WHERE facebook_id IS NOT NULL;
CREATE UNIQUE INDEX users_google_id_key ON users (google_id) WHERE google_id IS NOT NULL;
CREATE UNIQUE INDEX users_gamecenter_id_key ON users (gamecenter_id) WHERE gamecenter_id IS NOT NULL;
CREATE UNIQUE INDEX users_steam_id_key ON users (steam_id) WHERE steam_id IS NOT NULL;
CREATE UNIQUE INDEX users_facebook_instant_game_id_key ON users (facebook_instant_game_id)
    WHERE facebook_instant_game_id IS NOT NULL;
CREATE UNIQUE INDEX users_apple_id_key ON users (apple_id) WHERE apple_id IS NOT NULL;

CREATE TABLE user_device (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) <= 128),
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    preferences TEXT NOT NULL DEFAULT '{}',
    push_token_amazon TEXT NOT NULL DEFAULT '' CHECK (length(push_token_amazon) <= 512),
    push_token_android TEXT NOT NULL DEFAULT '' CHECK (length(push_token_android) <= 512),
    push_token_huawei TEXT NOT NULL DEFAULT '' CHECK (length(push_token_huawei) <= 512),
    push_token_ios TEXT NOT NULL DEFAULT '' CHECK (length(push_token_ios) <= 512),
    push_token_web TEXT NOT NULL DEFAULT '' CHECK (length(push_token_web) <= 512)
) STRICT;

CREATE UNIQUE INDEX user_device_user_id_id_key ON user_device (user_id, id);

CREATE TABLE user_tombstone (
    user_id BLOB NOT NULL UNIQUE CHECK (length(user_id) = 16),
    create_time INTEGER NOT NULL,
    PRIMARY KEY (create_time, user_id)
) STRICT;

CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    value TEXT NOT NULL DEFAULT '{}',
    update_time INTEGER NOT NULL
) STRICT;

INSERT INTO migration_info (id, applied_at) VALUES
    ('20180103142001_initial_schema.sql', :now),
    ('20180805174141-tournaments.sql', :now),
    ('20200116134800-facebook-instant-games.sql', :now),
    ('20200615102232-apple.sql', :now),
    ('20201005180855-console.sql', :now),
    ('20210416090601-purchase.sql', :now),
    ('20220426122825-subscription.sql', :now),
    ('20221027145900-subscription-raw-columns.sql', :now),
    ('20230222172540-purchases-not-null-uid-1.sql', :now),
    ('20230222172540-purchases-not-null-uid-2.sql', :now),
    ('20230706095800-leaderboard-list-index.sql', :now),
    ('20240715155039-leaderboard-rank-enable.sql', :now),
    ('20240725115145-purchase-index-change.sql', :now),
    ('20240801100859-add-console-user-mfa.sql', :now),
    ('20250113112512_add_user_edge_metadata.sql', :now),
    ('20250703094700-add-console-settings.sql', :now),
    ('20250926112031-console-fine-grained-acl.sql', :now),
    ('20251015150737-add-user-notes-audit-acl-templates.sql', :now),
    ('20260319134532-add-display-name-index.sql', :now);

-- The system user: owns what belongs to nobody.
INSERT INTO users (id, username, create_time, update_time) VALUES (zeroblob(16), '', :now, :now);

INSERT INTO setting (name, value, update_time) VALUES ('utc_toggle', 'false', :now);
