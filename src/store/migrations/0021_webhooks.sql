-- What other programs told us, word for word, until somebody has decided what follows from it; and for a while after that.
CREATE TABLE webhooks_received (
    id          TEXT PRIMARY KEY,
    source      TEXT NOT NULL,            -- the name in the configuration
    event       TEXT NOT NULL,            -- what its sender calls it, as far as that was known when it came
    received_at INTEGER NOT NULL,         -- UTC ms
    state       TEXT NOT NULL DEFAULT 'received' CHECK (state IN ('received', 'decided', 'ignored', 'failed')),
    reason      TEXT,                     -- what came of it, in a sentence
    decided_at  INTEGER,                  -- UTC ms
    matter      TEXT,                     -- the key of runs about the same
    project     TEXT,                     -- whose run it began
    run_id      TEXT,                     -- the run that sees to it
    is_new      INTEGER NOT NULL DEFAULT 0 CHECK (is_new IN (0, 1)), -- whether that run began with it
    duplicates  INTEGER NOT NULL DEFAULT 0, -- how often the same came again
    attempts    INTEGER NOT NULL DEFAULT 0, -- how often in a row it could not be decided
    headers     TEXT NOT NULL,            -- JSON; those of a list
    body        BLOB NOT NULL
) STRICT;

CREATE INDEX webhooks_to_decide ON webhooks_received (received_at, id) WHERE state = 'received';
CREATE INDEX webhooks_by_time ON webhooks_received (received_at);
CREATE INDEX webhooks_of_source ON webhooks_received (source, received_at);
CREATE INDEX webhooks_of_matter ON webhooks_received (matter, received_at) WHERE matter IS NOT NULL;
CREATE INDEX webhooks_begun ON webhooks_received (source, project, decided_at) WHERE is_new = 1;

-- Which hook of which repository sends to a source, as its messages say.
CREATE TABLE webhook_hooks (
    source     TEXT NOT NULL,
    repository TEXT NOT NULL,
    hook       INTEGER NOT NULL, -- the forge's number
    seen_at    INTEGER NOT NULL, -- UTC ms
    PRIMARY KEY (source, repository)
) STRICT, WITHOUT ROWID;

-- By what something that comes again is known. Kept longer than what came.
CREATE TABLE webhook_keys (
    source   TEXT NOT NULL,
    key      TEXT NOT NULL,
    delivery TEXT NOT NULL,
    at       INTEGER NOT NULL, -- UTC ms
    PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_keys_by_time ON webhook_keys (at);
