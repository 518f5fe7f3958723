-- +goose Up

ALTER TABLE notices DROP CONSTRAINT notices_action_check;
ALTER TABLE notices ADD CONSTRAINT notices_action_check
    CHECK (action IN ('open', 'resolve', 'remind', 'test', 'worse', 'repeat', 'ack', 'digest', 'weekly', 'change'));
