package service

import (
	"context"
	"errors"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// raiser takes alerts under the configuration in force.
type raiser struct{ e *Engine }

var _ web.Raiser = raiser{}

// Raise implements web.Raiser.
func (r raiser) Raise(ctx context.Context, by string, a api.AlertRequest) (api.Alerted, error) {
	done, err := RaiseAlert(ctx, r.e.Config(), r.e.ledger, a)
	if err == nil {
		r.e.o.Log.InfoContext(ctx, "an alert was taken", "by", by, "fingerprint", done.Fingerprint, "severity", a.Severity, "resolve", a.Resolve, "changed", done.Changed)
	}
	return done, err
}

// RaiseAlert puts an alert on record. Its errors are those that api.ProblemOf
// can place.
func RaiseAlert(ctx context.Context, cfg *configs.Config, incidents runner.Incidents, a api.AlertRequest) (api.Alerted, error) {
	now := time.Now().UTC()
	message := a.Message
	if a.Resolve && message == "" {
		message = "over"
	}
	fault, err := cfg.Alarm().Raised(alerts.Raised{Type: a.Type, Message: message, Severity: a.Severity, Metadata: a.Metadata}, now)
	if wrong, ok := errors.AsType[*jobs.FieldError](err); ok {
		return api.Alerted{}, api.NewProblem(api.CodeInvalid, wrong.Hint, wrong.Error())
	}
	if err != nil {
		return api.Alerted{}, err
	}
	done := api.Alerted{Fingerprint: fault.Fingerprint, Channels: []string{}}
	if a.Resolve {
		done.Changed, err = incidents.Clear(ctx, fault.Fingerprint, now)
		return done, err
	}
	done.Channels = append(done.Channels, fault.Channels...)
	done.Changed, err = incidents.Raise(ctx, fault)
	return done, err
}

// Origin is what messages of a configuration say about where they come from.
func Origin(cfg *configs.Config) alerts.Origin { return originOf(cfg) }
