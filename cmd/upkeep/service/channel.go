package service

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// testTime bounds a test of a channel.
const testTime = 30 * time.Second

// TestChannel sends a message to a channel of cfg at once, past the outbox, and
// returns what the channel answered. Its errors are of *api.Problem.
func TestChannel(ctx context.Context, cfg *configs.Config, name, by string) (receipt string, err error) {
	channel, secrets, err := cfg.OpenChannel(name)
	switch {
	case is[*configs.UnknownError](err):
		return "", api.NewProblem(api.CodeNotFound, cmp.Or(jobs.HintOf(err), "`channels:` in the configuration names them"), err.Error())
	case err != nil:
		return "", api.NewProblem(api.CodeInvalid, jobs.HintOf(err), err.Error())
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an identity for the test: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, testTime, fmt.Errorf("no answer within %s", testTime))
	defer cancel()
	receipt, err = alerts.Deliver(ctx, channel, alerts.NewMessage(originOf(cfg), runner.Notice{
		ID: id.String(), Action: runner.NoticeTest, CreatedAt: time.Now(),
		Subject: "test of the channel " + name,
		Text:    fmt.Sprintf("%s tries the channel %s of upkeep on %s. Nothing is wrong; this is what an alert looks like when it arrives.\n", by, name, cfg.Node),
	}))
	if err != nil {
		redactor := secret.NewRedactor(secrets)
		return "", api.NewProblem(api.CodeUnavailable, jobs.HintOf(err), redactor.Scrub(fmt.Sprintf("channel %s: %v", name, err)))
	}
	return receipt, nil
}
