-- Tokens for clients elsewhere. The secret is nowhere, only its hash.
CREATE TABLE tokens (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    hash           TEXT NOT NULL UNIQUE, -- SHA-256 of the secret, 64 hex digits
    scopes         TEXT NOT NULL,        -- JSON array of words
    frames         TEXT,                 -- JSON array of names; NULL: all frames
    created_at     INTEGER NOT NULL,
    created_by     TEXT NOT NULL,
    expires_at     INTEGER,
    last_used_at   INTEGER,
    last_used_from TEXT,
    revoked_at     INTEGER
) STRICT;
