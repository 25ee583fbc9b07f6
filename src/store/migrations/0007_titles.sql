-- 1: somebody gave it another title through mimir, and its agent was not told yet.
ALTER TABLE sessions ADD COLUMN title_untold INTEGER NOT NULL DEFAULT 0 CHECK (title_untold IN (0, 1));

CREATE INDEX sessions_untold ON sessions (frame_id) WHERE title_untold = 1;
