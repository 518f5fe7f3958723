package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// samplesAtOnce is how many samples one request carries.
const samplesAtOnce = 1000

// factsReader reads the samples and events of a ledger.
type factsReader interface {
	runner.SampleReader
	Happenings(ctx context.Context, f runner.HappeningFilter) ([]runner.Happening, error)
}

// factsKeeper takes samples and events: the process that holds the ledger, or
// the ledger itself.
type factsKeeper interface {
	AddSamples(ctx context.Context, samples ...runner.Sample) error
	AddEvents(ctx context.Context, happenings ...runner.Happening) error
}

// onFacts has samples or events recorded by the process that holds the ledger,
// or by this one when there is none.
func (a *app) onFacts(ctx context.Context, command string, do func(context.Context, factsKeeper) error) (err error) {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	if c != nil {
		return do(ctx, inRequests{c})
	}
	return a.onLedgerOf(ctx, cfg, command, func(ctx context.Context, l *ledger.Ledger) error { return do(ctx, factsOnLedger{l}) })
}

// inRequests brings many samples in several requests.
type inRequests struct{ *remote }

// AddSamples records samples, samplesAtOnce at a time.
func (r inRequests) AddSamples(ctx context.Context, samples ...runner.Sample) error {
	for some := range slices.Chunk(samples, samplesAtOnce) {
		if err := r.remote.AddSamples(ctx, some...); err != nil {
			return err
		}
	}
	return nil
}

type factsOnLedger struct{ *ledger.Ledger }

// AddSamples records samples.
func (l factsOnLedger) AddSamples(ctx context.Context, samples ...runner.Sample) error {
	return l.Observe(ctx, samples...)
}

// AddEvents records events.
func (l factsOnLedger) AddEvents(ctx context.Context, happenings ...runner.Happening) error {
	var subjects []string
	for i := range happenings {
		happenings[i].By = whoAmI()
		subjects = append(subjects, happenings[i].Kind+" "+happenings[i].Subject)
	}
	return acted(ctx, l, "add-event", strings.Join(subjects, ", "), l.Record(ctx, happenings...))
}

// acted records in the audit what whoever types did on the ledger itself, and
// returns err: through a service it is recorded there.
func acted(ctx context.Context, l runner.Auditor, what, subject string, err error) error {
	return service.Acted(ctx, l, whoAmI(), what, subject, err)
}

// onLedgerOf does something on the ledger of a configuration.
func (a *app) onLedgerOf(ctx context.Context, cfg *configs.Config, command string, do func(context.Context, *ledger.Ledger) error) (err error) {
	o := service.LedgerOptions(cfg, version, a.log())
	o.Command = command
	l, err := ledger.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return do(ctx, l)
}

// completeSeries offers the names of series on record.
func (a *app) completeSeries(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	reader, err := a.openReader(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer reader.Close()
	known, err := reader.facts.Series(cmd.Context(), prefix)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range known {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
