package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

// commander carries out what a command asks for: the process that holds the
// ledger, over its socket, or this one. The obligations are those of
// web.Commands, with whoever types as the one who asks.
type commander interface {
	Run(ctx context.Context, r api.RunRequest) ([]runner.Submission, error)
	Cancel(ctx context.Context, id runner.RunID) (runner.State, error)
	Retry(ctx context.Context, id runner.RunID, from string) error
	Approve(ctx context.Context, id runner.RunID) error
	Pause(ctx context.Context, workflow string, r api.PauseRequest) error
	Unpause(ctx context.Context, workflow string) (bool, error)
}

// holderPatience is how long the process that holds the ledger may take to
// answer, such as one that just starts.
const holderPatience = 3 * time.Second

// holder returns the process that holds the ledger, or nil when there is none
// that answers on the socket. One that is there and does not answer is an
// error.
func (a *app) holder(ctx context.Context, cfg *configs.Config) (*remote, error) {
	c := client.New(client.Options{Socket: service.SocketPath(cfg), By: "cli", Within: holderPatience})
	_, err := c.Health(ctx)
	switch {
	case err == nil:
		return &remote{Client: client.New(client.Options{Socket: service.SocketPath(cfg), By: "cli"})}, nil
	case errors.Is(err, client.ErrNoDaemon):
		return nil, nil //nolint:nilnil // nobody is a good answer
	case errors.Is(err, client.ErrSilent):
		return nil, fmt.Errorf("%w%s", err, a.nameHolder(ctx, cfg))
	}
	return nil, err
}

// nameHolder says which process holds the ledger, as far as that can be found
// out.
func (a *app) nameHolder(ctx context.Context, cfg *configs.Config) string {
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return ""
	}
	defer reader.Close()
	nodes, err := reader.nodes(ctx)
	if err != nil {
		return ""
	}
	for _, n := range nodes {
		if n.Alive {
			return fmt.Sprintf(": it is %s (pid %d on %s)", n.Command, n.PID, n.Host)
		}
	}
	return ""
}

// remote is the process that holds the ledger as the one who carries commands
// out.
type remote struct{ *client.Client }

// Run asks for a run. The states of the answer are empty.
func (r *remote) Run(ctx context.Context, request api.RunRequest) ([]runner.Submission, error) {
	accepted, err := r.Start(ctx, request)
	if err != nil {
		return nil, err
	}
	return accepted.Submitted(), nil
}

// Pause asks for a pause.
func (r *remote) Pause(ctx context.Context, workflow string, p api.PauseRequest) error {
	var until time.Time
	if p.Until != nil {
		until = *p.Until
	}
	_, err := r.Client.Pause(ctx, workflow, p.Reason, until)
	return err
}

// configOrHolder reads the configuration. When the file has become wrong while
// a service runs on the one before, that service is enough for what goes
// through it: the Config then says only where it is.
func (a *app) configOrHolder(ctx context.Context) (*configs.Config, *remote, error) {
	if c, err := a.farther(); c != nil || err != nil {
		return &configs.Config{}, c, err
	}
	path, err := a.configFile()
	if err != nil {
		return nil, nil, err
	}
	cfg, err := a.load()
	if err == nil {
		c, err := a.holder(ctx, cfg)
		return cfg, c, err
	}
	if cfg != nil {
		// Only this shell lacks what the service has, such as a variable.
		if c, silent := a.holder(ctx, cfg); silent == nil && c != nil {
			return cfg, c, nil
		}
		return nil, nil, err
	}
	place, unknown := configs.Locate(path, a.catalog())
	if unknown != nil {
		return nil, nil, err
	}
	c, silent := a.holder(ctx, place)
	if silent != nil || c == nil {
		return nil, nil, err
	}
	fmt.Fprintf(a.std.Err, "warning: %s has errors; the service goes on with the configuration before (`upkeep validate` shows them)\n", path)
	return place, c, nil
}

// readingOrHolder is configOrHolder for what only looks: references without a
// value keep nobody from that, nor does a service that cannot be asked.
func (a *app) readingOrHolder(ctx context.Context) (*configs.Config, *remote, error) {
	if c, err := a.farther(); c != nil || err != nil {
		return &configs.Config{}, c, err
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return a.configOrHolder(ctx)
	}
	c, err := a.holder(ctx, cfg)
	switch {
	case errors.Is(err, client.ErrPermission):
		return cfg, nil, nil
	case errors.Is(err, runner.ErrUnavailable):
		fmt.Fprintf(a.std.Err, "warning: %v; this is what the configuration on disk and the ledger say\n", err)
		return cfg, nil, nil
	}
	return cfg, c, err
}

// act has a command carried out by the process that holds the ledger, or by
// this one on the ledger itself when there is none.
func (a *app) act(ctx context.Context, command string, do func(context.Context, *configs.Config, commander) error) (err error) {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	if c != nil {
		return do(ctx, cfg, c)
	}
	o := service.LedgerOptions(cfg, version, a.log())
	o.Command, o.Alarm = command, cfg.Alarm()
	l, err := ledger.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return do(ctx, cfg, onLedger{cfg: cfg, ledger: l})
}

// onLedger carries out what needs no executor.
type onLedger struct {
	cfg    *configs.Config
	ledger *ledger.Ledger
}

// Run is refused: it needs a process that stays.
func (o onLedger) Run(context.Context, api.RunRequest) ([]runner.Submission, error) {
	return nil, errNoService
}

// errNoService says that a command needs a service, and none runs.
var errNoService = jobs.WithHint(fmt.Errorf("%w: no service runs here", runner.ErrUnavailable), "start one with `upkeep serve`")

// Cancel leaves the request in the ledger.
func (o onLedger) Cancel(ctx context.Context, id runner.RunID) (runner.State, error) {
	state, err := o.ledger.Cancel(ctx, id, whoAmI())
	return state, acted(ctx, o.ledger, "cancel-run", string(id), err)
}

// Retry is refused: it needs a process that stays.
func (o onLedger) Retry(context.Context, runner.RunID, string) error { return errNoService }

// Approve records the approval; the run begins with the next service.
func (o onLedger) Approve(ctx context.Context, id runner.RunID) error {
	return acted(ctx, o.ledger, "approve-run", string(id), o.ledger.Approve(ctx, id, whoAmI()))
}

// Pause records the pause.
func (o onLedger) Pause(ctx context.Context, workflow string, r api.PauseRequest) error {
	return acted(ctx, o.ledger, "pause-workflow", workflow, service.Pause(ctx, o.cfg, o.ledger, service.PauseOf(workflow, whoAmI(), r)))
}

// Unpause ends the pause.
func (o onLedger) Unpause(ctx context.Context, workflow string) (bool, error) {
	was, err := o.ledger.Unpause(ctx, workflow, whoAmI())
	return was, acted(ctx, o.ledger, "unpause-workflow", workflow, err)
}
