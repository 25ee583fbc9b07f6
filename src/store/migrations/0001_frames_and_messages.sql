-- Times are UTC milliseconds, money is millionths of a US dollar, enums are words with a CHECK.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE projects (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    path       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE frames (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE,
    project_id       TEXT REFERENCES projects (id) ON DELETE SET NULL,
    workspace        TEXT NOT NULL,
    image            TEXT NOT NULL,
    image_id         TEXT NOT NULL,
    network          TEXT NOT NULL CHECK (network IN ('sealed', 'allow', 'open')),
    cpus_milli       INTEGER NOT NULL CHECK (cpus_milli > 0),
    memory_bytes     INTEGER NOT NULL CHECK (memory_bytes > 0),
    pids             INTEGER NOT NULL CHECK (pids > 0),
    owner_uid        INTEGER NOT NULL,
    owner_gid        INTEGER NOT NULL,
    desired          TEXT NOT NULL CHECK (desired IN ('running', 'paused', 'stopped', 'removed')),
    state            TEXT NOT NULL CHECK (state IN ('created', 'starting', 'running', 'paused', 'stopped', 'error')),
    reason           TEXT,
    generation       INTEGER NOT NULL DEFAULT 1,
    expires_at       INTEGER,
    created_at       INTEGER NOT NULL,
    state_changed_at INTEGER NOT NULL,
    last_active_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX frames_expiring ON frames (expires_at) WHERE expires_at IS NOT NULL;

-- The configuration of a frame, as it was given and as it was resolved.
CREATE TABLE frame_configs (
    frame_id TEXT PRIMARY KEY REFERENCES frames (id) ON DELETE CASCADE,
    given    TEXT NOT NULL, -- the YAML, word for word; empty when none was given
    resolved TEXT NOT NULL  -- JSON: allow, env, tmpfs, everything that was settled
) STRICT;

CREATE TABLE ports (
    port      INTEGER PRIMARY KEY CHECK (port BETWEEN 1024 AND 65535),
    frame_id  TEXT NOT NULL REFERENCES frames (id) ON DELETE CASCADE,
    purpose   TEXT NOT NULL CHECK (purpose IN ('agent', 'preview')),
    leased_at INTEGER NOT NULL,
    UNIQUE (frame_id, purpose)
) STRICT;

-- What a person may want to know of a frame's life; the driver's exits are counted here.
CREATE TABLE frame_events (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    frame_id TEXT NOT NULL REFERENCES frames (id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    code     TEXT NOT NULL,
    text     TEXT NOT NULL
) STRICT;

CREATE INDEX frame_events_of ON frame_events (frame_id, at);

-- Conversations outlive their frame, so frame_id is no foreign key.
CREATE TABLE sessions (
    id             TEXT PRIMARY KEY,
    frame_id       TEXT NOT NULL,
    frame_name     TEXT NOT NULL,
    agent_session  TEXT,
    title          TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_of ON sessions (frame_id, last_active_at);
CREATE UNIQUE INDEX sessions_agent ON sessions (frame_id, agent_session) WHERE agent_session IS NOT NULL;

CREATE TABLE messages (
    id              TEXT PRIMARY KEY,
    idempotency_key TEXT UNIQUE,
    frame_id        TEXT NOT NULL,
    frame_name      TEXT NOT NULL,
    session_id      TEXT NOT NULL REFERENCES sessions (id),
    text            TEXT NOT NULL,
    model           TEXT,
    agent           TEXT,
    state           TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'running', 'answered', 'failed', 'cancelled')),
    reason          TEXT,
    agent_message   TEXT UNIQUE,
    answer          TEXT,
    input_tokens       INTEGER NOT NULL DEFAULT 0,
    output_tokens      INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens   INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens  INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    cost_microusd   INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    sent_at         INTEGER,
    ended_at        INTEGER
) STRICT;

CREATE INDEX messages_open ON messages (frame_id, created_at) WHERE state IN ('queued', 'sending', 'sent', 'running');
CREATE INDEX messages_of ON messages (session_id, created_at);

-- What was said, as the agent keeps it: whole messages with their parts.
CREATE TABLE turns (
    session_id    TEXT NOT NULL REFERENCES sessions (id),
    agent_message TEXT NOT NULL, -- opencode's id; its order is the order of the talk
    role          TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    head          TEXT NOT NULL, -- JSON of model::agent::AgentMessage
    parts         TEXT NOT NULL, -- JSON array of model::agent::AgentPart
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (session_id, agent_message)
) STRICT;

-- One row per model call that the broker forwarded.
CREATE TABLE usage (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at            INTEGER NOT NULL,
    frame_id      TEXT NOT NULL,
    agent_session TEXT,
    provider      TEXT NOT NULL,
    model         TEXT NOT NULL,
    input_tokens       INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cost_microusd INTEGER NOT NULL,
    priced        INTEGER NOT NULL CHECK (priced IN (0, 1)), -- 0: no price is known, cost is 0
    status        INTEGER NOT NULL                           -- the provider's HTTP status
) STRICT;

CREATE INDEX usage_of ON usage (frame_id, at);

-- What happened, in order; stored before it is sent to anybody.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    frame_id   TEXT,
    frame_name TEXT,
    session_id TEXT,
    message_id TEXT,
    data       TEXT NOT NULL
) STRICT;

CREATE INDEX events_of_frame ON events (frame_id, id);
CREATE INDEX events_of_message ON events (message_id, id) WHERE message_id IS NOT NULL;

-- Who changed what; written in the transaction of the change.
CREATE TABLE audit (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    principal TEXT NOT NULL,
    action    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    detail    TEXT NOT NULL
) STRICT;
