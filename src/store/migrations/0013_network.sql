-- Frames may use only the providers that they are granted. A frame of before keeps those that it has used.
UPDATE frame_configs SET resolved = json_set(resolved, '$.providers', (
    SELECT json_group_array(provider) FROM (
        SELECT DISTINCT provider FROM usage WHERE usage.frame_id = frame_configs.frame_id ORDER BY provider)))
 WHERE EXISTS (SELECT 1 FROM usage WHERE usage.frame_id = frame_configs.frame_id);

-- What a frame's connections to other hosts came to.
CREATE TABLE frame_hosts (
    frame_id    TEXT    NOT NULL REFERENCES frames (id) ON DELETE CASCADE,
    host        TEXT    NOT NULL,
    port        INTEGER NOT NULL,
    allowed     INTEGER NOT NULL DEFAULT 0, -- connections
    refused     INTEGER NOT NULL DEFAULT 0, -- of them or requests for them
    sent_bytes  INTEGER NOT NULL DEFAULT 0, -- to the host
    got_bytes   INTEGER NOT NULL DEFAULT 0, -- from it
    day         INTEGER NOT NULL DEFAULT 0, -- since 1970, UTC
    sent_today  INTEGER NOT NULL DEFAULT 0, -- on that day
    last_at     INTEGER NOT NULL,           -- UTC ms
    refused_why TEXT,                       -- the last time
    PRIMARY KEY (frame_id, host, port)
) STRICT, WITHOUT ROWID;
