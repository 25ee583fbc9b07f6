-- Which engine a frame is of: a container on this machine, or a server that runs elsewhere.
ALTER TABLE frames ADD COLUMN engine TEXT NOT NULL DEFAULT 'podman' CHECK (engine IN ('podman', 'external'));

-- The servers elsewhere that frames stand for.
CREATE TABLE external_servers (
    frame_id TEXT PRIMARY KEY REFERENCES frames (id) ON DELETE CASCADE,
    url      TEXT NOT NULL, -- without user and password
    user     TEXT NOT NULL,
    password TEXT,          -- none for a server that asks for none
    version  TEXT NOT NULL  -- of opencode, when it was connected
) STRICT;
