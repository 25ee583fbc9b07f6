-- What is over a rule's limit waits for its turn, and is counted by rule.
ALTER TABLE webhooks_received ADD COLUMN not_before INTEGER; -- UTC ms: it waits, and is not decided before that
ALTER TABLE webhooks_received ADD COLUMN rule TEXT;          -- of one that waits: for which rule, by what that says

DROP INDEX webhooks_to_decide;
CREATE INDEX webhooks_to_decide ON webhooks_received (received_at, id, not_before) WHERE state = 'received';
CREATE INDEX webhooks_that_wait ON webhooks_received (rule, not_before) WHERE state = 'received' AND not_before IS NOT NULL;

-- Which rule began a run, and when; for an hour. It stays when the message is decided again.
CREATE TABLE webhook_runs_begun (
    run_id TEXT PRIMARY KEY,
    rule   TEXT NOT NULL,
    at     INTEGER NOT NULL -- UTC ms
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_runs_begun_by_rule ON webhook_runs_begun (rule, at);

DROP INDEX webhooks_begun;
ALTER TABLE webhooks_received DROP COLUMN is_new;
ALTER TABLE webhooks_received DROP COLUMN project;

-- Which hooks send to a source: those of repositories, and others (an organization's, an App's), of which no forge is asked.
ALTER TABLE webhook_hooks RENAME TO webhook_hooks_of_repositories;
CREATE TABLE webhook_hooks (
    source     TEXT NOT NULL,
    repository TEXT NOT NULL,
    target     TEXT NOT NULL,    -- whose it is, in the forge's word: repository, organization, integration; gitea of those forges
    hook       INTEGER NOT NULL, -- the forge's number
    seen_at    INTEGER NOT NULL, -- UTC ms
    PRIMARY KEY (source, repository, target)
) STRICT, WITHOUT ROWID;
INSERT INTO webhook_hooks (source, repository, target, hook, seen_at)
    SELECT source, repository, 'repository', hook, seen_at FROM webhook_hooks_of_repositories;
DROP TABLE webhook_hooks_of_repositories;
