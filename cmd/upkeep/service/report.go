package service

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// Report writes down what happened in a window before now: backups are what the
// stores hold, and unread says why some could not be read.
func Report(ctx context.Context, cfg *configs.Config, from reports.Source, window time.Duration, backups []api.Backup, unread []string) (reports.Document, error) {
	review := reports.Review{Project: cfg.Project, Plan: KPIPlan(cfg, window), Now: time.Now(), Unread: unread}
	for _, b := range backups {
		review.Backups = append(review.Backups, reports.Backup{
			Of: reports.JobName{Workflow: b.Workflow, Job: b.Job}, Store: b.Store,
			Created: b.Created, Bytes: b.Bytes, Level: string(b.Level), ProvenAt: b.ProvenAt, Damage: b.Damage,
		})
	}
	return review.Document(ctx, from)
}

const (
	// reportWithin bounds how long a report may take.
	reportWithin = 2 * time.Minute
	// reportPatience is how long one waits for the end of another.
	reportPatience = 20 * time.Second
)

// reporter writes reports for those who ask over the API, one at a time: each
// reads much of the ledger.
type reporter struct {
	e *Engine
	// stock knows what the stores hold; nil for a process that does not read
	// them.
	stock *stock
	turn  chan struct{}
}

var _ web.Reports = (*reporter)(nil)

func newReporter(e *Engine, d *Daemon) *reporter {
	r := &reporter{e: e, turn: make(chan struct{}, 1)}
	if d != nil {
		r.stock = d.stock
	}
	return r
}

// Report implements web.Reports.
func (r *reporter) Report(ctx context.Context, window time.Duration, html bool, w io.Writer) error {
	patience := time.NewTimer(reportPatience)
	defer patience.Stop()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-patience.C:
		return api.NewProblem(api.CodeUnavailable, "try again soon", "other reports are being written")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, reportWithin, fmt.Errorf("the report took longer than %s: %w", reportWithin, context.DeadlineExceeded))
	defer cancel()
	backups, unread, err := r.stored(ctx)
	if err != nil {
		return err
	}
	d, err := Report(ctx, r.e.Config(), SourceOf(r.e.ledger.Reader), window, backups, unread)
	if err != nil {
		return err
	}
	if html {
		return d.HTML(w)
	}
	return d.Markdown(w)
}

// stored is what the stores hold, as far as it is known.
func (r *reporter) stored(ctx context.Context) (backups []api.Backup, unread []string, err error) {
	if r.stock == nil {
		return nil, nil, nil
	}
	inventory, err := r.stock.Inventory(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range inventory.Stores {
		switch {
		case s.Error != "":
			unread = append(unread, jobs.OneLine("store "+s.Name+": "+s.Error))
		case s.AsOf == nil:
			unread = append(unread, "store "+s.Name+": it is still being read")
		}
	}
	return inventory.Backups, unread, nil
}
