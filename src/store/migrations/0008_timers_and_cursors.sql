-- What is to happen at a time, whatever happens to the gateway until then.
CREATE TABLE timers (
    id         INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,              -- whose: approval.deadline, events.retention, …
    ref        TEXT NOT NULL,              -- about what, in the words of its kind; empty when there is only one
    due_at     INTEGER NOT NULL,           -- UTC ms
    attempts   INTEGER NOT NULL DEFAULT 0, -- how often in a row it failed
    last_error TEXT,
    UNIQUE (kind, ref)
) STRICT;

CREATE INDEX timers_due ON timers (due_at);

INSERT INTO timers (kind, ref, due_at)
SELECT 'approval.deadline', id, deadline_at FROM prompts WHERE state = 'pending' AND deadline_at IS NOT NULL;

-- How far a reader of events has come that must not miss any.
CREATE TABLE event_cursors (
    name       TEXT PRIMARY KEY,
    position   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Until now, what is told outside was written with each event.
INSERT INTO event_cursors (name, position, updated_at)
SELECT 'notify', coalesce(max(id), 0), coalesce(max(at), 0) FROM events;

-- What an event is about besides its frame, conversation and message, which have columns.
CREATE TABLE event_refs (
    event_id INTEGER NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    kind     TEXT NOT NULL,
    ref      TEXT NOT NULL,
    PRIMARY KEY (event_id, kind, ref)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_refs_of ON event_refs (kind, ref, event_id);
