-- What frames pushed: their objects wait in a folder of the home until somebody has looked, or the forge has them.
CREATE TABLE pushes (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    frame_id     TEXT NOT NULL, -- also of a frame that is gone
    frame_name   TEXT NOT NULL,
    message_id   TEXT,          -- whose turn ran at that time
    repository   TEXT NOT NULL, -- host/owner/name
    state        TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'pushed', 'rejected', 'failed', 'replaced')),
    updates      TEXT NOT NULL, -- JSON: names, from, to
    contents     TEXT NOT NULL, -- JSON: what was found in it
    held_because TEXT NOT NULL, -- JSON: sentences
    folder       TEXT NOT NULL UNIQUE,
    decided_by   TEXT,
    reason       TEXT,
    asked_at     INTEGER NOT NULL, -- UTC ms
    decided_at   INTEGER,
    ended_at     INTEGER,
    told         INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1)) -- whether the frame heard of its end
) STRICT;

CREATE INDEX pushes_of_frame ON pushes (frame_id, state);
CREATE INDEX pushes_open ON pushes (state) WHERE state IN ('waiting', 'approved', 'failed');
