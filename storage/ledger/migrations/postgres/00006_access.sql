-- +goose Up

CREATE TABLE tokens (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    -- The beginning of the digest, by which it is found; the rest is compared in constant time.
    lookup     TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    created_at BIGINT           NOT NULL,
    made_by    TEXT             NOT NULL,
    expires_at BIGINT,
    used_at    BIGINT,
    revoked_at BIGINT,
    revoked_by TEXT             NOT NULL
);

CREATE INDEX tokens_lookup ON tokens (lookup);
CREATE UNIQUE INDEX tokens_used ON tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE actions (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at         BIGINT           NOT NULL,
    who        TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,
    means      TEXT COLLATE "C" NOT NULL,
    origin     TEXT             NOT NULL,
    via        TEXT             NOT NULL,
    what       TEXT COLLATE "C" NOT NULL,
    subject    TEXT             NOT NULL,
    ending     TEXT COLLATE "C" NOT NULL CHECK (ending IN ('done', 'refused', 'failed')),
    status     INTEGER          NOT NULL,
    request_id TEXT             NOT NULL,
    alike      BIGINT           NOT NULL CHECK (alike > 0)
);

CREATE INDEX actions_at ON actions (at);
CREATE INDEX actions_who ON actions (who, id);
CREATE INDEX actions_what ON actions (what, id);
CREATE INDEX actions_ending ON actions (ending, id);
