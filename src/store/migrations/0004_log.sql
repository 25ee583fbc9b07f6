-- The text of an ended turn, written in many pieces, becomes one event: the last of them. `from_id` is the
-- first. A reader whose position is between the two has had some of it, and has to begin anew.
ALTER TABLE events ADD COLUMN from_id INTEGER;

CREATE INDEX events_merged ON events (from_id) WHERE from_id IS NOT NULL;
