-- +goose Up

CREATE TABLE tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    -- The beginning of the digest, by which it is found; the rest is compared in constant time.
    lookup     TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    made_by    TEXT    NOT NULL,
    expires_at INTEGER,
    used_at    INTEGER,
    revoked_at INTEGER,
    revoked_by TEXT    NOT NULL
) STRICT;

CREATE INDEX tokens_lookup ON tokens (lookup);
CREATE UNIQUE INDEX tokens_used ON tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE actions (
    id         TEXT    NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    who        TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    means      TEXT    NOT NULL,
    origin     TEXT    NOT NULL,
    via        TEXT    NOT NULL,
    what       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    ending     TEXT    NOT NULL CHECK (ending IN ('done', 'refused', 'failed')),
    status     INTEGER NOT NULL,
    request_id TEXT    NOT NULL,
    alike      INTEGER NOT NULL CHECK (alike > 0)
) STRICT;

CREATE INDEX actions_at ON actions (at);
CREATE INDEX actions_who ON actions (who, id);
CREATE INDEX actions_what ON actions (what, id);
CREATE INDEX actions_ending ON actions (ending, id);
