-- Headers, besides those that authenticate, in which the placeholder of a grant is replaced: JSON, small letters.
ALTER TABLE secret_grants ADD COLUMN headers TEXT NOT NULL DEFAULT '[]';
