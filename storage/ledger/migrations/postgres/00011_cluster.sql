-- +goose Up

-- What a node says of itself: the digest of what its configuration has in
-- common with those of the others, the file, whether it takes nothing new, and
-- where its pages are.
ALTER TABLE nodes ADD COLUMN config      TEXT     NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN config_path TEXT     NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN draining    SMALLINT NOT NULL DEFAULT 0 CHECK (draining IN (0, 1));
ALTER TABLE nodes ADD COLUMN web         TEXT     NOT NULL DEFAULT '';
-- Whether it is the service of its node, and no command.
ALTER TABLE nodes ADD COLUMN member      SMALLINT NOT NULL DEFAULT 0 CHECK (member IN (0, 1));

-- The nodes that belong to the system, whether they are there or not.
CREATE TABLE members (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    labels     TEXT             NOT NULL,
    host       TEXT             NOT NULL,
    version    TEXT             NOT NULL,
    first_seen BIGINT           NOT NULL,
    last_seen  BIGINT           NOT NULL
);

-- What running attempts have written so far, for the other nodes. It may be
-- lost at any time, so it is not worth a log.
CREATE UNLOGGED TABLE live_outputs (
    run    TEXT COLLATE "C" NOT NULL,
    job    TEXT COLLATE "C" NOT NULL,
    number BIGINT           NOT NULL,
    epoch  BIGINT           NOT NULL,
    place  BIGINT           NOT NULL,
    bytes  BYTEA            NOT NULL,
    PRIMARY KEY (run, job, number, epoch, place)
);
