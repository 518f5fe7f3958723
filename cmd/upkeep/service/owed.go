package service

import (
	"context"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
)

// owedPatience is how long a command in the foreground tries to send what its
// run owes; a service sends the rest.
const owedPatience = 20 * time.Second

// owedEvery is how often it looks whether that is done.
const owedEvery = 100 * time.Millisecond

// originOf is what messages say about where they come from.
func originOf(cfg *configs.Config) alerts.Origin {
	return alerts.Origin{Project: cfg.Project, Node: cfg.Node, Zone: cfg.Timezone, Command: "upkeep -c " + cfg.Path}
}

// messenger makes the dispatcher of what is owed.
func (e *Engine) messenger() *alerts.Dispatcher {
	return alerts.New(alerts.Options{
		Outbox: e.outbox(), Records: e.ledger, Stories: e.ledger, Duties: e.ledger, Incidents: e.ledger, Settler: e.ledger,
		Channels: e.channel, Names: e.channelNames,
		Policy:   func() *alerts.Policy { return e.Config().Alarm() },
		Settings: e.channelSettings,
		Weekly:   e.weekly,
		Origin:   originOf(e.Config()), Log: named(e.o.Log, "alerts"),
	})
}

// failures wakes the messenger when a workflow failed that is told after several
// failures only: whether that is often enough now, it decides.
type failures struct{ e *Engine }

// Observe implements runner.Observer.
func (f failures) Observe(_ context.Context, event runner.Event) {
	ended, ok := event.(runner.RunEnded)
	if !ok || ended.Run.State != runner.Failed {
		return
	}
	if w, err := f.e.Config().Workflow(ended.Run.Spec.Workflow); err == nil && w.Alert.After > 1 {
		ring(f.e.owed)
	}
}

// channelSettings is how a channel of the configuration in force wants to be
// told.
func (e *Engine) channelSettings(name string) alerts.Settings {
	for _, c := range e.Config().Channels {
		if c.Name == name {
			return c.Settings
		}
	}
	return alerts.Settings{}
}

// channel opens a channel of the configuration in force.
func (e *Engine) channel(name string) (alerts.Channel, []string, error) {
	cfg := e.Config()
	for _, c := range cfg.Channels {
		if c.Name == name {
			return cfg.OpenChannel(name)
		}
	}
	return nil, nil, alerts.ErrNoChannel
}

func (e *Engine) channelNames() []string {
	var names []string
	for _, c := range e.Config().Channels {
		if !c.Settings.Disabled {
			names = append(names, c.Name)
		}
	}
	return names
}

// deliverOwed sends what the runs of a command in the foreground owe. What
// cannot be sent now stays in the outbox, for a service.
func (e *Engine) deliverOwed(ctx context.Context) {
	select {
	case <-e.owed:
	default:
		return // nothing became owed
	}
	ctx, enough := context.WithTimeoutCause(ctx, owedPatience, runner.ErrShutdown)
	defer enough()
	go func() {
		defer enough()
		for ctx.Err() == nil {
			unsent, err := e.ledger.Notices(ctx, runner.NoticeFilter{States: []runner.NoticeState{runner.NoticePending, runner.NoticeSending}, Limit: outboxPage})
			if err == nil && !slices.ContainsFunc(unsent, func(n runner.Notice) bool { return !n.Withheld }) {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(owedEvery):
			}
		}
	}()
	e.messenger().Run(ctx)
}
