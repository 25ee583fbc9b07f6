-- Requests of plain HTTP, and how many connections were made on the day of `day`.
ALTER TABLE frame_hosts ADD COLUMN requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE frame_hosts ADD COLUMN connected_today INTEGER NOT NULL DEFAULT 0;

-- Why a frame was stopped, when no message is to wake it: what it would have to do first.
ALTER TABLE frames ADD COLUMN stopped_for TEXT;

-- By which rule a message's model was chosen.
ALTER TABLE messages ADD COLUMN route TEXT;

-- What was spent, kept as it is booked: a budget is looked at before every call, and the books grow for ever. Of each
-- subject all together (day -1) and each day (since 1970, UTC). `usage` is what counts; triggers keep these in step, in the
-- same transaction, so that no crash comes in between.
CREATE TABLE spent (
    scope    TEXT    NOT NULL,
    subject  TEXT    NOT NULL, -- an id; of a conversation the frame's, a slash and the agent's session; empty for the home
    day      INTEGER NOT NULL,
    microusd INTEGER NOT NULL,
    PRIMARY KEY (scope, subject, day)
) STRICT, WITHOUT ROWID;

CREATE VIEW spending AS
    SELECT at, 'home' AS scope, '' AS subject, cost_microusd FROM usage
    UNION ALL SELECT at, 'frame', frame_id, cost_microusd FROM usage
    UNION ALL SELECT at, 'project', project_id, cost_microusd FROM usage WHERE project_id IS NOT NULL
    UNION ALL SELECT at, 'run', run_id, cost_microusd FROM usage WHERE run_id IS NOT NULL
    UNION ALL SELECT at, 'session', frame_id || '/' || root_session, cost_microusd FROM usage
               WHERE root_session IS NOT NULL;

INSERT INTO spent (scope, subject, day, microusd)
SELECT scope, subject, at / 86400000, sum(cost_microusd) FROM spending GROUP BY 1, 2, 3
UNION ALL SELECT scope, subject, -1, sum(cost_microusd) FROM spending GROUP BY 1, 2;

DROP VIEW spending;

CREATE TRIGGER spent_more AFTER INSERT ON usage
BEGIN
    INSERT INTO spent (scope, subject, day, microusd)
    SELECT scope, subject, day, new.cost_microusd
      FROM (SELECT 'home' AS scope, '' AS subject
            UNION ALL SELECT 'frame', new.frame_id
            UNION ALL SELECT 'project', new.project_id
            UNION ALL SELECT 'run', new.run_id
            UNION ALL SELECT 'session', new.frame_id || '/' || new.root_session),
           (SELECT -1 AS day UNION ALL SELECT new.at / 86400000)
     WHERE subject IS NOT NULL
        ON CONFLICT (scope, subject, day) DO UPDATE SET microusd = microusd + excluded.microusd;
END;

CREATE TRIGGER spent_less AFTER DELETE ON usage
BEGIN
    INSERT INTO spent (scope, subject, day, microusd)
    SELECT scope, subject, day, -old.cost_microusd
      FROM (SELECT 'home' AS scope, '' AS subject
            UNION ALL SELECT 'frame', old.frame_id
            UNION ALL SELECT 'project', old.project_id
            UNION ALL SELECT 'run', old.run_id
            UNION ALL SELECT 'session', old.frame_id || '/' || old.root_session),
           (SELECT -1 AS day UNION ALL SELECT old.at / 86400000)
     WHERE subject IS NOT NULL
        ON CONFLICT (scope, subject, day) DO UPDATE SET microusd = microusd + excluded.microusd;
END;

CREATE TRIGGER spent_otherwise AFTER UPDATE ON usage
BEGIN
    INSERT INTO spent (scope, subject, day, microusd)
    SELECT scope, subject, day, -old.cost_microusd
      FROM (SELECT 'home' AS scope, '' AS subject
            UNION ALL SELECT 'frame', old.frame_id
            UNION ALL SELECT 'project', old.project_id
            UNION ALL SELECT 'run', old.run_id
            UNION ALL SELECT 'session', old.frame_id || '/' || old.root_session),
           (SELECT -1 AS day UNION ALL SELECT old.at / 86400000)
     WHERE subject IS NOT NULL
        ON CONFLICT (scope, subject, day) DO UPDATE SET microusd = microusd + excluded.microusd;
    INSERT INTO spent (scope, subject, day, microusd)
    SELECT scope, subject, day, new.cost_microusd
      FROM (SELECT 'home' AS scope, '' AS subject
            UNION ALL SELECT 'frame', new.frame_id
            UNION ALL SELECT 'project', new.project_id
            UNION ALL SELECT 'run', new.run_id
            UNION ALL SELECT 'session', new.frame_id || '/' || new.root_session),
           (SELECT -1 AS day UNION ALL SELECT new.at / 86400000)
     WHERE subject IS NOT NULL
        ON CONFLICT (scope, subject, day) DO UPDATE SET microusd = microusd + excluded.microusd;
END;
