-- What is known of projects: found in their folders, or said by their owner.
CREATE TABLE project_settings (
    project_id          TEXT PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    repository          TEXT,                      -- host/owner/name
    default_branch      TEXT,
    language            TEXT,
    checks              TEXT NOT NULL DEFAULT '[]', -- JSON: shell lines
    sentry_organization TEXT,
    sentry_project      TEXT,
    protected           TEXT NOT NULL DEFAULT '[]', -- JSON: paths
    CHECK ((sentry_organization IS NULL) = (sentry_project IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX project_settings_of_repository ON project_settings (repository) WHERE repository IS NOT NULL;
CREATE INDEX project_settings_of_sentry ON project_settings (sentry_project) WHERE sentry_project IS NOT NULL;
