-- What a queue needs to know of a message besides its place, which is the order of the rows.

ALTER TABLE messages ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0 CHECK (urgent IN (0, 1)); -- 1: goes before the others of its conversation
ALTER TABLE messages ADD COLUMN stop TEXT;       -- why it is to be stopped; set before the agent is asked to
ALTER TABLE messages ADD COLUMN given TEXT;      -- its first words, when they were edited: a repeated request is known by them
ALTER TABLE messages ADD COLUMN resent_at INTEGER; -- when it was handed over again because the agent had not begun

CREATE INDEX messages_waiting ON messages (session_id) WHERE state IN ('queued', 'sending', 'sent', 'running');

-- When somebody last asked for something else. A stopped frame is not woken by what was waiting before.
ALTER TABLE frames ADD COLUMN desired_at INTEGER NOT NULL DEFAULT 0;
