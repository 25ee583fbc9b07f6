-- Full-text search over everything that was said.

-- An id of its own: the one that SQLite invents may change when the file is packed.
CREATE TABLE turns_with_id (
    id            INTEGER PRIMARY KEY,
    session_id    TEXT NOT NULL REFERENCES sessions (id),
    agent_message TEXT NOT NULL, -- opencode's id; its order is the order of the talk
    role          TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    head          TEXT NOT NULL, -- JSON of model::agent::AgentMessage
    parts         TEXT NOT NULL, -- JSON array of model::agent::AgentPart
    created_at    INTEGER NOT NULL,
    UNIQUE (session_id, agent_message)
) STRICT;

INSERT INTO turns_with_id (session_id, agent_message, role, head, parts, created_at)
SELECT session_id, agent_message, role, head, parts, created_at FROM turns ORDER BY session_id, agent_message;
DROP TABLE turns;
ALTER TABLE turns_with_id RENAME TO turns;

-- The words of a turn: what was said, what tools did (names, arguments, output, changed files), what the model
-- thought. Of a tool's output the first 128 Ki characters; the whole is in the row.
CREATE VIEW turn_words (id, said, done, thought) AS
SELECT turns.id,
       (SELECT group_concat(json_extract(part.value, '$.body.text'), char(10))
          FROM json_each(turns.parts) AS part
         WHERE json_extract(part.value, '$.body.type') = 'text'
           AND NOT json_extract(part.value, '$.body.synthetic')),
       (SELECT group_concat(
                   coalesce(json_extract(part.value, '$.body.tool'), '') || char(10)
                   || coalesce(json_extract(part.value, '$.body.title'), '') || char(10)
                   || coalesce((SELECT group_concat(leaf.atom, char(10))
                                  FROM json_tree(part.value) AS leaf
                                 WHERE leaf.atom IS NOT NULL
                                   AND (leaf.path LIKE '$.body.input%' OR leaf.fullkey = '$.body.input'
                                        OR leaf.path = '$.body.files')), '') || char(10)
                   || coalesce(substr(json_extract(part.value, '$.body.output'), 1, 131072), ''),
                   char(10))
          FROM json_each(turns.parts) AS part
         WHERE json_extract(part.value, '$.body.type') IN ('tool', 'patch')),
       (SELECT group_concat(json_extract(part.value, '$.body.text'), char(10))
          FROM json_each(turns.parts) AS part
         WHERE json_extract(part.value, '$.body.type') = 'reasoning')
  FROM turns;

-- Keeps its own copy of the text: FTS5 cannot read a view that takes JSON apart.
CREATE VIRTUAL TABLE turn_search USING fts5 (said, done, thought, tokenize = 'unicode61 remove_diacritics 2');

-- Kept by triggers, so that whoever writes turns cannot forget it.
CREATE TRIGGER turns_come AFTER INSERT ON turns
BEGIN
    INSERT INTO turn_search (rowid, said, done, thought)
    SELECT id, said, done, thought FROM turn_words WHERE id = new.id;
END;

CREATE TRIGGER turns_change AFTER UPDATE OF parts ON turns WHEN old.parts IS NOT new.parts
BEGIN
    DELETE FROM turn_search WHERE rowid = old.id;
    INSERT INTO turn_search (rowid, said, done, thought)
    SELECT id, said, done, thought FROM turn_words WHERE id = new.id;
END;

CREATE TRIGGER turns_go AFTER DELETE ON turns
BEGIN
    DELETE FROM turn_search WHERE rowid = old.id;
END;

INSERT INTO turn_search (rowid, said, done, thought) SELECT id, said, done, thought FROM turn_words;

-- What the agent calls the conversation. Ours may differ while its frame sleeps; only a change of this one is news.
ALTER TABLE sessions ADD COLUMN agent_title TEXT NOT NULL DEFAULT '';
UPDATE sessions SET agent_title = title;
-- The conversation that this one was split off from.
ALTER TABLE sessions ADD COLUMN forked_from TEXT;
