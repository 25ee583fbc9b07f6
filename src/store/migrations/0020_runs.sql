-- Runs of workflows, what happened in them, and the names under which the outside knows them.
CREATE TABLE runs (
    id              TEXT PRIMARY KEY,
    workflow        TEXT NOT NULL,
    run_key         TEXT NOT NULL,            -- what it is about; one open run for each
    origin          TEXT NOT NULL CHECK (origin IN ('person', 'schedule', 'webhook', 'run', 'plugin', 'manager')),
    origin_ref      TEXT,                     -- of which delivery, schedule or run
    project         TEXT,                     -- its name, also when the project is gone
    title           TEXT NOT NULL,
    input           TEXT NOT NULL,            -- JSON, never changed
    state           TEXT NOT NULL CHECK (state IN
        ('queued', 'running', 'waiting', 'held', 'succeeded', 'failed', 'cancelled', 'superseded')),
    definition      TEXT,                     -- JSON: the workflow as it was when the run began
    parallel        INTEGER,                  -- how many of that workflow may be at work
    place           TEXT NOT NULL DEFAULT 'none' CHECK (place IN ('none', 'wanted', 'taken')), -- among those at work
    stage           TEXT NOT NULL DEFAULT '',
    attempt         INTEGER NOT NULL DEFAULT 0,
    reason          TEXT,
    progress        TEXT NOT NULL DEFAULT '{}', -- JSON
    version         INTEGER NOT NULL DEFAULT 0, -- counts changes: compare and set
    woken           INTEGER NOT NULL DEFAULT 0 CHECK (woken IN (0, 1)), -- told of something that no pass has looked at
    not_before      INTEGER NOT NULL,         -- UTC ms
    priority        INTEGER NOT NULL DEFAULT 0,
    budget_microusd INTEGER CHECK (budget_microusd >= 0),
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    ended_at        INTEGER
) STRICT;

CREATE UNIQUE INDEX runs_open_key ON runs (run_key) WHERE state IN ('queued', 'running', 'waiting', 'held');
CREATE INDEX runs_open ON runs (priority, created_at) WHERE state IN ('queued', 'running', 'waiting', 'held');
CREATE INDEX runs_of_key ON runs (run_key, created_at);
CREATE INDEX runs_of_origin ON runs (origin_ref, created_at) WHERE origin_ref IS NOT NULL;
CREATE INDEX runs_by_time ON runs (created_at);
CREATE INDEX runs_places ON runs (place, workflow) WHERE place <> 'none';
CREATE INDEX runs_ended ON runs (workflow, project, ended_at) WHERE ended_at IS NOT NULL;

-- An end is an end.
CREATE TRIGGER runs_stay_ended BEFORE UPDATE OF state ON runs
WHEN old.state IN ('succeeded', 'failed', 'cancelled', 'superseded')
BEGIN
    SELECT raise(ABORT, 'a run that ended does not change');
END;

CREATE TABLE run_log (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    at     INTEGER NOT NULL, -- UTC ms
    stage  TEXT NOT NULL,
    kind   TEXT NOT NULL,
    text   TEXT NOT NULL,
    link   TEXT
) STRICT;

CREATE INDEX run_log_of ON run_log (run_id, id);

-- Under which names others tell of a run's matter: `pull:host/owner/name#7`, `issue:host/owner/name#3`,
-- `sentry:organization/1234`.
CREATE TABLE run_names (
    name   TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    PRIMARY KEY (name, run_id)
) STRICT, WITHOUT ROWID;
