-- +goose Up

CREATE TABLE remedies (
    run         TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    workflow    TEXT COLLATE "C" NOT NULL,
    check_name  TEXT             NOT NULL,
    health      TEXT             NOT NULL,
    report      TEXT             NOT NULL,
    failing     TEXT             NOT NULL,
    since       BIGINT,
    begun_at    BIGINT           NOT NULL,
    outcome     TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('', 'fixed', 'not_fixed', 'worse', 'observed', 'dropped')),
    why         TEXT             NOT NULL,
    decided_at  BIGINT,
    relapsed_at BIGINT,
    disabled    SMALLINT         NOT NULL CHECK (disabled IN (0, 1))
);

CREATE INDEX remedies_workflow ON remedies (workflow, run);
