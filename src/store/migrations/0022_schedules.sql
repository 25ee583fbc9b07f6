-- What is to happen again and again, and what became of each time.
CREATE TABLE schedules (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    source      TEXT NOT NULL CHECK (source IN ('person', 'configuration')),
    spec        TEXT NOT NULL,  -- JSON
    paused      TEXT,           -- why it does nothing now
    counts_from INTEGER NOT NULL, -- failures and costs count from here, UTC ms
    next_at     INTEGER,        -- UTC ms, without jitter
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE schedule_ticks (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id INTEGER NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    instant     INTEGER NOT NULL, -- which time, UTC ms
    seen_at     INTEGER NOT NULL, -- when it was seen to, UTC ms
    cause       TEXT NOT NULL CHECK (cause IN ('time', 'catch_up', 'person')),
    outcome     TEXT NOT NULL CHECK (outcome IN ('run', 'waiting', 'skipped', 'missed')),
    reason      TEXT,
    run_id      TEXT              -- the run that was made, or that stood in the way
) STRICT;

-- No time is seen to twice.
CREATE UNIQUE INDEX schedule_ticks_once ON schedule_ticks (schedule_id, instant) WHERE cause <> 'person';
CREATE INDEX schedule_ticks_of ON schedule_ticks (schedule_id, id);
CREATE UNIQUE INDEX schedule_ticks_waiting ON schedule_ticks (schedule_id) WHERE outcome = 'waiting';
