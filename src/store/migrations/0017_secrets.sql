-- Secrets that frames may use. The whole database is encrypted; nothing here is encrypted a second time under a key that
-- would lie beside it.
CREATE TABLE secrets (
    name    TEXT PRIMARY KEY,
    value   TEXT,             -- empty when its source is asked each time
    source  TEXT    NOT NULL, -- JSON
    set_at  INTEGER NOT NULL, -- UTC ms
    set_by  TEXT    NOT NULL,
    used_at INTEGER           -- UTC ms
) STRICT;

-- What frames were given of them.
CREATE TABLE secret_grants (
    frame_id    TEXT    NOT NULL REFERENCES frames (id) ON DELETE CASCADE,
    secret      TEXT    NOT NULL REFERENCES secrets (name) ON DELETE CASCADE,
    variable    TEXT    NOT NULL,
    form        TEXT    NOT NULL CHECK (form IN ('placeholder', 'environment', 'file')),
    host        TEXT,
    placeholder TEXT UNIQUE,
    granted_at  INTEGER NOT NULL,
    PRIMARY KEY (frame_id, secret),
    UNIQUE (frame_id, variable),
    CHECK ((form = 'placeholder') = (host IS NOT NULL AND placeholder IS NOT NULL))
) STRICT, WITHOUT ROWID;
