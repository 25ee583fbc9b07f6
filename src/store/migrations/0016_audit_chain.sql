-- Entries of the audit log are chained: each carries an HMAC over itself and the one before, under a key that changes
-- with each epoch and cannot be computed backwards. See src/store/audit_chain.rs.

-- Entries from before the chain have neither.
ALTER TABLE audit ADD COLUMN epoch INTEGER;
ALTER TABLE audit ADD COLUMN mac TEXT;

CREATE TABLE audit_chain (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    -- Of the epoch that runs, in hex; those of earlier ones are gone.
    key     TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    -- How many entries this epoch has, and when it began (UTC ms).
    entries INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    -- How many entries the chain has, and the HMAC of the last one.
    count   INTEGER NOT NULL,
    head    TEXT NOT NULL
) STRICT;
