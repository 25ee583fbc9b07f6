-- What agents ask people. A prompt outlives its frame and its conversation, so nothing here is a foreign key.
CREATE TABLE prompts (
    id            TEXT PRIMARY KEY,
    frame_id      TEXT NOT NULL,
    frame_name    TEXT NOT NULL,
    session_id    TEXT,
    message_id    TEXT,
    agent_prompt  TEXT NOT NULL, -- opencode's id of it
    from_child    INTEGER NOT NULL CHECK (from_child IN (0, 1)),
    ask           TEXT NOT NULL, -- JSON of model::prompt::Ask
    state         TEXT NOT NULL CHECK (state IN ('pending', 'answering', 'allowed', 'denied', 'answered', 'expired')),
    decision      TEXT,          -- JSON of model::prompt::Decision
    decided_by    TEXT,
    rule          TEXT,
    reason        TEXT,
    deadline_at   INTEGER,
    asked_at      INTEGER NOT NULL,
    decided_at    INTEGER,
    UNIQUE (frame_id, agent_prompt)
) STRICT;

CREATE INDEX prompts_open ON prompts (frame_id, asked_at) WHERE state IN ('pending', 'answering');
CREATE INDEX prompts_of_message ON prompts (message_id) WHERE message_id IS NOT NULL;

-- Messages whose prompts nobody is there to answer.
CREATE TABLE unattended (
    message_id TEXT PRIMARY KEY,
    within_ms  INTEGER NOT NULL CHECK (within_ms >= 0)
) STRICT;

-- The rules of a frame; later ones win.
CREATE TABLE frame_policies (
    frame_id TEXT PRIMARY KEY REFERENCES frames (id) ON DELETE CASCADE,
    rules    TEXT NOT NULL -- JSON array of model::policy::Rule
) STRICT;

-- What is to be told to other programs; written with the change it tells of.
CREATE TABLE webhook_deliveries (
    id         TEXT PRIMARY KEY,
    url        TEXT NOT NULL,
    body       TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_error TEXT
) STRICT;

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at);
