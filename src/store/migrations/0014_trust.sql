-- Folders whose configuration of the agent somebody was shown and said yes to: to exactly these files.
CREATE TABLE trusted_folders (
    path       TEXT PRIMARY KEY, -- absolute, links resolved
    hash       TEXT NOT NULL,    -- of all of it
    files      TEXT NOT NULL,    -- JSON: path → hash of the content
    trusted_at INTEGER NOT NULL, -- UTC ms
    trusted_by TEXT NOT NULL
) STRICT;
