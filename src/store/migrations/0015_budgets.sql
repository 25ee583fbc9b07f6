-- What may be spent. A limit of NULL is none, also where the configuration has one.
CREATE TABLE budgets (
    scope          TEXT NOT NULL CHECK (scope IN ('home', 'project', 'frame', 'session', 'run')),
    subject        TEXT NOT NULL, -- the id of it; empty for the home
    period         TEXT NOT NULL CHECK (period IN ('total', 'month', 'day')),
    limit_microusd INTEGER CHECK (limit_microusd >= 0),
    set_at         INTEGER NOT NULL,
    PRIMARY KEY (scope, subject, period)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER budgets_of_frame AFTER DELETE ON frames
BEGIN
    DELETE FROM budgets WHERE scope = 'frame' AND subject = old.id;
END;

CREATE TRIGGER budgets_of_project AFTER DELETE ON projects
BEGIN
    DELETE FROM budgets WHERE scope = 'project' AND subject = old.id;
END;

CREATE TRIGGER budgets_of_session AFTER DELETE ON sessions
BEGIN
    DELETE FROM budgets WHERE scope = 'session' AND subject = old.id;
END;

-- Who pays for a call: what a sub-agent uses is its conversation's.
ALTER TABLE usage ADD COLUMN root_session TEXT;
ALTER TABLE usage ADD COLUMN project_id TEXT;
ALTER TABLE usage ADD COLUMN run_id TEXT;
-- 1: the provider said nothing that could be believed, so it was reckoned from bytes.
ALTER TABLE usage ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0 CHECK (estimated IN (0, 1));

UPDATE usage SET
    root_session = agent_session,
    project_id = (SELECT project_id FROM frames WHERE frames.id = usage.frame_id),
    run_id = (SELECT run_id FROM frames WHERE frames.id = usage.frame_id);

CREATE INDEX usage_costs ON usage (at, cost_microusd);
CREATE INDEX usage_of_session ON usage (frame_id, root_session);
CREATE INDEX usage_of_project ON usage (project_id, at) WHERE project_id IS NOT NULL;
CREATE INDEX usage_of_run ON usage (run_id, at) WHERE run_id IS NOT NULL;

-- Which of the agent's sessions began which, as its calls say.
CREATE TABLE agent_parents (
    frame_id TEXT NOT NULL,
    session  TEXT NOT NULL,
    parent   TEXT NOT NULL,
    PRIMARY KEY (frame_id, session)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER agent_parents_of_frame AFTER DELETE ON frames
BEGIN
    DELETE FROM agent_parents WHERE frame_id = old.id;
END;

-- Calls that run, with what is held for them. What a gateway leaves here when it dies is booked by the next one.
CREATE TABLE running_calls (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    life          INTEGER NOT NULL, -- of which gateway
    begun_at      INTEGER NOT NULL,
    frame_id      TEXT NOT NULL,
    agent_session TEXT,
    root_session  TEXT,
    project_id    TEXT,
    run_id        TEXT,
    provider      TEXT NOT NULL,
    model         TEXT NOT NULL,
    input_tokens  INTEGER NOT NULL, -- estimates
    output_tokens INTEGER NOT NULL,
    reserved_microusd INTEGER NOT NULL,
    priced        INTEGER NOT NULL CHECK (priced IN (0, 1))
) STRICT;

-- Prices that somebody set; they win over those that mimir carries.
CREATE TABLE prices (
    provider    TEXT NOT NULL,
    model       TEXT NOT NULL,
    input       INTEGER NOT NULL, -- of a million tokens, in millionths of a US dollar
    output      INTEGER NOT NULL,
    cache_read  INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    as_of       TEXT NOT NULL,    -- the day for which they were true
    PRIMARY KEY (provider, model)
) STRICT, WITHOUT ROWID;
