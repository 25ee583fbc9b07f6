-- How many messages people wrote in a conversation: what is in its history, in a terminal too and before it was split
-- off another one, and what was sent and is not there yet. Not what the agent writes in people's name. A list of
-- conversations reads this number; counted anew, it would have to read everything that was ever said.
ALTER TABLE sessions ADD COLUMN message_count INTEGER NOT NULL DEFAULT 0;

UPDATE sessions SET message_count =
    (SELECT count(*) FROM agent_messages
      WHERE agent_messages.session_id = sessions.id AND role = 'user' AND EXISTS (
            SELECT 1 FROM json_each(agent_messages.parts) AS part
             WHERE json_extract(part.value, '$.body.type') = 'text'
               AND NOT coalesce(json_extract(part.value, '$.body.synthetic'), 0)))
  + (SELECT count(*) FROM messages
      WHERE messages.session_id = sessions.id AND NOT EXISTS (
            SELECT 1 FROM agent_messages
             WHERE agent_messages.session_id = sessions.id
               AND agent_messages.agent_message = messages.agent_message));

-- Kept by triggers, in the transaction of the message, so that whoever writes messages cannot forget it.

-- One that comes into the history counts if a person wrote it, and takes the place of the one that was sent.
CREATE TRIGGER message_count_history_insert AFTER INSERT ON agent_messages
BEGIN
    UPDATE sessions SET message_count = message_count
        + (new.role = 'user' AND EXISTS (
              SELECT 1 FROM json_each(new.parts) AS part
               WHERE json_extract(part.value, '$.body.type') = 'text'
                 AND NOT coalesce(json_extract(part.value, '$.body.synthetic'), 0)))
        - (SELECT count(*) FROM messages
            WHERE messages.session_id = new.session_id AND messages.agent_message = new.agent_message)
     WHERE id = new.session_id;
END;

CREATE TRIGGER message_count_history_update AFTER UPDATE OF role, parts ON agent_messages
    WHEN old.role IS NOT new.role OR (new.role = 'user' AND old.parts IS NOT new.parts)
BEGIN
    UPDATE sessions SET message_count = message_count
        + (new.role = 'user' AND EXISTS (
              SELECT 1 FROM json_each(new.parts) AS part
               WHERE json_extract(part.value, '$.body.type') = 'text'
                 AND NOT coalesce(json_extract(part.value, '$.body.synthetic'), 0)))
        - (old.role = 'user' AND EXISTS (
              SELECT 1 FROM json_each(old.parts) AS part
               WHERE json_extract(part.value, '$.body.type') = 'text'
                 AND NOT coalesce(json_extract(part.value, '$.body.synthetic'), 0)))
     WHERE id = new.session_id;
END;

CREATE TRIGGER message_count_history_delete AFTER DELETE ON agent_messages
BEGIN
    UPDATE sessions SET message_count = message_count
        - (old.role = 'user' AND EXISTS (
              SELECT 1 FROM json_each(old.parts) AS part
               WHERE json_extract(part.value, '$.body.type') = 'text'
                 AND NOT coalesce(json_extract(part.value, '$.body.synthetic'), 0)))
        + (SELECT count(*) FROM messages
            WHERE messages.session_id = old.session_id AND messages.agent_message = old.agent_message)
     WHERE id = old.session_id;
END;

-- One that was sent counts until it is in the history.
CREATE TRIGGER message_count_sent_insert AFTER INSERT ON messages
    WHEN NOT EXISTS (SELECT 1 FROM agent_messages
                      WHERE session_id = new.session_id AND agent_message = new.agent_message)
BEGIN
    UPDATE sessions SET message_count = message_count + 1 WHERE id = new.session_id;
END;

CREATE TRIGGER message_count_sent_update AFTER UPDATE OF session_id, agent_message ON messages
    WHEN old.session_id IS NOT new.session_id OR old.agent_message IS NOT new.agent_message
BEGIN
    UPDATE sessions SET message_count = message_count - 1
     WHERE id = old.session_id AND NOT EXISTS (
           SELECT 1 FROM agent_messages
            WHERE session_id = old.session_id AND agent_message = old.agent_message);
    UPDATE sessions SET message_count = message_count + 1
     WHERE id = new.session_id AND NOT EXISTS (
           SELECT 1 FROM agent_messages
            WHERE session_id = new.session_id AND agent_message = new.agent_message);
END;

CREATE TRIGGER message_count_sent_delete AFTER DELETE ON messages
    WHEN NOT EXISTS (SELECT 1 FROM agent_messages
                      WHERE session_id = old.session_id AND agent_message = old.agent_message)
BEGIN
    UPDATE sessions SET message_count = message_count - 1 WHERE id = old.session_id;
END;
