-- What somebody took back of a conversation stays, and says so: undone can be redone, removed is gone from the agent.
ALTER TABLE agent_messages ADD COLUMN taken_back TEXT CHECK (taken_back IN ('undone', 'removed'));
ALTER TABLE agent_messages ADD COLUMN taken_back_at INTEGER; -- UTC ms: when it was noticed

-- From which message on the agent has it undone now; whether that one itself stands, but for some of its parts.
ALTER TABLE sessions ADD COLUMN undone_from TEXT;
ALTER TABLE sessions ADD COLUMN undone_keeps INTEGER NOT NULL DEFAULT 0 CHECK (undone_keeps IN (0, 1));
