-- Frames that run before anybody needs them.
ALTER TABLE frames ADD COLUMN warm TEXT;         -- for which kind of frame it is kept; NULL for one that is somebody's
ALTER TABLE frames ADD COLUMN warm_files TEXT;   -- start:digest of what it read at its start

CREATE INDEX frames_warm ON frames (warm) WHERE warm IS NOT NULL;
