-- What began a message or a frame; what there is already was begun by people.

ALTER TABLE messages ADD COLUMN origin TEXT NOT NULL DEFAULT 'person'
    CHECK (origin IN ('person', 'schedule', 'webhook', 'run', 'plugin', 'manager'));
ALTER TABLE messages ADD COLUMN run_id TEXT;

ALTER TABLE frames ADD COLUMN origin TEXT NOT NULL DEFAULT 'person'
    CHECK (origin IN ('person', 'schedule', 'webhook', 'run', 'plugin', 'manager'));
ALTER TABLE frames ADD COLUMN run_id TEXT;

-- A turn is a whole exchange; a row of `turns` was one message of it.
DROP TRIGGER turns_come;
DROP TRIGGER turns_change;
DROP TRIGGER turns_go;
DROP VIEW turn_words;
ALTER TABLE turns RENAME TO agent_messages;
ALTER TABLE turn_search RENAME TO agent_message_search;

-- The words of a message: what was said, what tools did (names, arguments, output, changed files), what the model
-- thought. Of a tool's output the first 128 Ki characters; the whole is in the row.
CREATE VIEW agent_message_words (id, said, done, thought) AS
SELECT agent_messages.id,
       (SELECT group_concat(json_extract(part.value, '$.body.text'), char(10))
          FROM json_each(agent_messages.parts) AS part
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
          FROM json_each(agent_messages.parts) AS part
         WHERE json_extract(part.value, '$.body.type') IN ('tool', 'patch')),
       (SELECT group_concat(json_extract(part.value, '$.body.text'), char(10))
          FROM json_each(agent_messages.parts) AS part
         WHERE json_extract(part.value, '$.body.type') = 'reasoning')
  FROM agent_messages;

-- Kept by triggers, so that whoever writes messages cannot forget it.
CREATE TRIGGER agent_messages_insert AFTER INSERT ON agent_messages
BEGIN
    INSERT INTO agent_message_search (rowid, said, done, thought)
    SELECT id, said, done, thought FROM agent_message_words WHERE id = new.id;
END;

CREATE TRIGGER agent_messages_update AFTER UPDATE OF parts ON agent_messages WHEN old.parts IS NOT new.parts
BEGIN
    DELETE FROM agent_message_search WHERE rowid = old.id;
    INSERT INTO agent_message_search (rowid, said, done, thought)
    SELECT id, said, done, thought FROM agent_message_words WHERE id = new.id;
END;

CREATE TRIGGER agent_messages_delete AFTER DELETE ON agent_messages
BEGIN
    DELETE FROM agent_message_search WHERE rowid = old.id;
END;

-- What an agent asks is an approval everywhere else.
DROP INDEX prompts_open;
DROP INDEX prompts_of_message;
ALTER TABLE prompts RENAME TO approvals;
CREATE INDEX approvals_open ON approvals (frame_id, asked_at) WHERE state IN ('pending', 'answering');
CREATE INDEX approvals_of_message ON approvals (message_id) WHERE message_id IS NOT NULL;
