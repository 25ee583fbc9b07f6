-- A browser's session says how it began. Older ones are known by the names that the gateway gave them.
ALTER TABLE tokens ADD COLUMN began_with TEXT; -- link, password; NULL: it is no browser's session
UPDATE tokens SET began_with = 'link'
    WHERE name GLOB 'web-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]';

-- The owner's password for browsers, and what is asked for besides. The password itself is nowhere.
CREATE TABLE login (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    salt        BLOB NOT NULL,
    hash        BLOB NOT NULL,              -- Argon2id of the password
    memory_kib  INTEGER NOT NULL,           -- its parameters
    passes      INTEGER NOT NULL,
    lanes       INTEGER NOT NULL,
    scopes      TEXT NOT NULL,              -- JSON array of words: what a session may do
    set_at      INTEGER NOT NULL,           -- UTC ms
    totp_secret BLOB,                       -- NULL: the password is enough
    totp_step   INTEGER NOT NULL DEFAULT 0  -- codes of this step of time and of those before it were used
) STRICT;

CREATE TABLE login_recovery_codes (
    hash    TEXT PRIMARY KEY, -- SHA-256, 64 hex digits
    used_at INTEGER           -- UTC ms
) STRICT, WITHOUT ROWID;
