-- +goose Up

CREATE TABLE specs (
    digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    text   TEXT             NOT NULL
);

CREATE TABLE runs (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workflow     TEXT COLLATE "C" NOT NULL,
    slot         BIGINT           NOT NULL,
    host         TEXT COLLATE "C" NOT NULL,
    trigger      TEXT COLLATE "C" NOT NULL CHECK (trigger IN ('schedule', 'catch_up', 'manual', 'api', 'check')),
    spec         TEXT COLLATE "C" NOT NULL REFERENCES specs (digest),
    params       TEXT             NOT NULL,
    jobs         TEXT             NOT NULL,
    dry_run      SMALLINT         NOT NULL CHECK (dry_run IN (0, 1)),
    requested_by TEXT             NOT NULL,
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'warned', 'failed', 'canceled', 'skipped', 'lost')),
    reason       TEXT             NOT NULL,
    message      TEXT             NOT NULL,
    owner        TEXT COLLATE "C" NOT NULL,
    node         TEXT             NOT NULL,
    epoch        BIGINT           NOT NULL,
    canceled_by  TEXT             NOT NULL,
    reopened_by  TEXT             NOT NULL,
    queued_at    BIGINT           NOT NULL,
    started_at   BIGINT,
    finished_at  BIGINT,
    UNIQUE (workflow, slot, host)
);

CREATE INDEX runs_workflow ON runs (workflow, id);
CREATE INDEX runs_state ON runs (state, trigger, id);
CREATE INDEX runs_workflow_state ON runs (workflow, state, trigger, id);
CREATE INDEX runs_open ON runs (id) WHERE state IN ('queued', 'running');

CREATE TABLE attempts (
    run          TEXT COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    job          TEXT COLLATE "C" NOT NULL,
    number       BIGINT           NOT NULL CHECK (number > 0),
    kind         TEXT             NOT NULL,
    workflow     TEXT COLLATE "C" NOT NULL,
    dry_run      SMALLINT         NOT NULL CHECK (dry_run IN (0, 1)),
    epoch        BIGINT           NOT NULL,
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('running', 'succeeded', 'warned', 'failed', 'canceled', 'skipped', 'lost')),
    reason       TEXT             NOT NULL,
    error        TEXT             NOT NULL,
    hint         TEXT             NOT NULL,
    exit_code    BIGINT           NOT NULL,
    started_at   BIGINT,
    finished_at  BIGINT,
    result       TEXT             NOT NULL,
    superseded   SMALLINT         NOT NULL CHECK (superseded IN (0, 1)),
    output_bytes BIGINT           NOT NULL,
    output_cut   BIGINT           NOT NULL,
    PRIMARY KEY (run, job, number)
);

CREATE INDEX attempts_past ON attempts (workflow, job, finished_at, run, number)
    WHERE state IN ('succeeded', 'warned') AND dry_run = 0;

CREATE TABLE outputs (
    run    TEXT COLLATE "C" NOT NULL,
    job    TEXT COLLATE "C" NOT NULL,
    number BIGINT           NOT NULL,
    codec  TEXT             NOT NULL CHECK (codec IN ('raw', 'zstd')),
    head   BYTEA            NOT NULL,
    tail   BYTEA            NOT NULL,
    cut    BIGINT           NOT NULL,
    PRIMARY KEY (run, job, number),
    FOREIGN KEY (run, job, number) REFERENCES attempts (run, job, number) ON DELETE CASCADE
);

CREATE TABLE artifacts (
    run      TEXT COLLATE "C" NOT NULL,
    job      TEXT COLLATE "C" NOT NULL,
    number   BIGINT           NOT NULL,
    store    TEXT COLLATE "C" NOT NULL,
    key      TEXT COLLATE "C" NOT NULL,
    bytes    BIGINT           NOT NULL,
    sha256   TEXT             NOT NULL,
    modified BIGINT,
    PRIMARY KEY (run, job, number, store, key),
    FOREIGN KEY (run, job, number) REFERENCES attempts (run, job, number) ON DELETE CASCADE
);

CREATE INDEX artifacts_object ON artifacts (store, key);

CREATE TABLE locks (
    key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run   TEXT COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    job   TEXT COLLATE "C" NOT NULL,
    epoch BIGINT           NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    since BIGINT           NOT NULL
);

CREATE INDEX locks_run ON locks (run);

CREATE TABLE nodes (
    instance      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL,
    host          TEXT COLLATE "C" NOT NULL,
    pid           BIGINT           NOT NULL,
    process       TEXT             NOT NULL,
    labels        TEXT             NOT NULL,
    version       TEXT             NOT NULL,
    command       TEXT             NOT NULL,
    registered_at BIGINT           NOT NULL,
    lease_until   BIGINT
);
