package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/web/api"
)

// custodian works on artifacts: this process, or a service elsewhere. The
// obligations are those of custody.Custodian.
type custodian interface {
	Verify(ctx context.Context, r api.VerifyRequest) (api.Worked, error)
	Drill(ctx context.Context, r api.DrillRequest) (api.Worked, error)
	Restore(ctx context.Context, r api.RestoreRequest) (api.Worked, error)
	Prune(ctx context.Context, r api.PruneRequest) (api.Worked, error)
}

// keeping is what there is to do with artifacts.
type keeping struct {
	// identities are the paths of files that decrypt.
	identities []string
	// strict wants a configuration without errors, and the ledger beside it.
	strict bool
	do     func(context.Context, custodian) error
}

// keep has something done with artifacts by this process, or by the service
// elsewhere that the command is for.
func (a *app) keep(ctx context.Context, k keeping) error {
	far, err := a.farther()
	if err != nil {
		return err
	}
	if far != nil {
		texts, err := readIdentities(k.identities)
		if err != nil {
			return err
		}
		return k.do(ctx, farCustodian{far: far, identities: texts, tell: a.tellWork()})
	}
	load := a.loadForReading
	if k.strict {
		load = a.config
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	o := custody.Options{
		Config: cfg, Version: version, Identities: k.identities, Own: service.OwnFiles(cfg), Out: a.std.Err, Watch: a.watch, Step: a.step(), Log: a.log(),
	}
	o.OwnDatabase = a.ownDatabase(ctx, cfg)
	if k.strict {
		reader, err := a.openHistory(ctx, cfg)
		if err != nil {
			return err
		}
		defer reader.Close()
		o.Ledger = reader
	}
	return k.do(ctx, custody.New(o))
}

// ownDatabaseBound is how long is waited for a ledger that may be what is to be
// restored.
const ownDatabaseBound = 5 * time.Second

// ownDatabase identifies the ledger's database, so that nothing is restored into
// it. A ledger that cannot be asked keeps nobody from restoring.
func (a *app) ownDatabase(ctx context.Context, cfg *configs.Config) string {
	if cfg.Ledger.Dialect != "postgres" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, ownDatabaseBound)
	defer cancel()
	identity, err := service.Identity(ctx, cfg, version, a.log())
	if err != nil {
		fmt.Fprintf(a.std.Err, "warning: upkeep's own database is not known: %s\n", oneLine(err.Error(), 0))
	}
	return identity
}

// longestIdentity bounds what is read of a file with identities, in bytes.
const longestIdentity = 64 << 10

// readIdentities reads the files that a service elsewhere needs to decrypt.
func readIdentities(paths []string) ([]string, error) {
	var texts []string
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("read the identity: %v", err)
		}
		text, err := io.ReadAll(io.LimitReader(f, longestIdentity+1))
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, usagef("read the identity: %v", err)
		}
		if len(text) > longestIdentity {
			return nil, usagef("the file %s is too long to hold identities", path)
		}
		texts = append(texts, string(text))
	}
	return texts, nil
}

// farCustodian is a service elsewhere that works on its artifacts.
type farCustodian struct {
	far        *remote
	identities []string
	tell       func(api.WorkEvent)
}

// Verify has artifacts proven anew.
func (c farCustodian) Verify(ctx context.Context, r api.VerifyRequest) (api.Worked, error) {
	r.Identities = c.identities
	return c.far.VerifyArtifacts(ctx, r, c.tell)
}

// Drill has it proven that artifacts can be restored.
func (c farCustodian) Drill(ctx context.Context, r api.DrillRequest) (api.Worked, error) {
	r.Identities = c.identities
	return c.far.DrillArtifacts(ctx, r, c.tell)
}

// Restore has put back what an artifact holds.
func (c farCustodian) Restore(ctx context.Context, r api.RestoreRequest) (api.Worked, error) {
	r.Identities = c.identities
	return c.far.RestoreArtifact(ctx, r, c.tell)
}

// Prune asks what retention removes, or has it do that.
func (c farCustodian) Prune(ctx context.Context, r api.PruneRequest) (api.Worked, error) {
	return c.far.PruneArtifacts(ctx, r, c.tell)
}

// tellWork shows how work elsewhere goes as it is shown of work here.
func (a *app) tellWork() func(api.WorkEvent) {
	step, began, reading := a.step(), time.Now(), ""
	live := isTerminal(a.std.Err) && !a.dumb()
	return func(e api.WorkEvent) {
		if live && reading != "" && e.Kind != api.WorkProgress {
			fmt.Fprint(a.std.Err, "\r"+eraseBelow)
		}
		switch e.Kind {
		case api.WorkSaid:
			fmt.Fprintln(a.std.Err, oneLine(e.Text, 0))
		case api.WorkStep:
			if step != nil {
				step(e.Text)
			}
		case api.WorkProgress:
			if e.Text != reading {
				began, reading = time.Now(), e.Text
			}
			if live {
				a.drawProgress(e.Text, e.Bytes, e.Total, time.Since(began))
			}
		}
	}
}

// step shows on a terminal what is being done; nil elsewhere.
func (a *app) step() func(what string) {
	if !isTerminal(a.std.Err) || a.dumb() {
		return nil
	}
	return func(what string) { fmt.Fprintf(a.std.Err, "\r%s%s\n", eraseBelow, oneLine(what, 0)) }
}

// watch shows on a terminal how much of total was read, how fast, and when it
// will be done, until stop is called.
func (a *app) watch(what string, read func() int64, total int64) (stop func()) {
	if !isTerminal(a.std.Err) || a.dumb() {
		return func() {}
	}
	began := time.Now()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				fmt.Fprint(a.std.Err, "\r"+eraseBelow)
				return
			case <-tick.C:
				a.drawProgress(what, read(), total, time.Since(began))
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// drawProgress draws one line in the place of the one before.
func (a *app) drawProgress(what string, read, total int64, since time.Duration) {
	width, _ := sizeOf(a.std.Err)
	fmt.Fprint(a.std.Err, "\r"+wrapOff+oneLine(progressLine(what, read, total, since), width)+eraseBelow+wrapOn)
}

// progressLine says how far something is.
func progressLine(what string, read, total int64, since time.Duration) string {
	rate := float64(read) / max(since.Seconds(), 0.001)
	line := fmt.Sprintf("%s  %s of %s, %s/s", what, humanize.IBytes(uint64(max(read, 0))), humanize.IBytes(uint64(max(total, 0))), humanize.IBytes(uint64(max(rate, 0))))
	if left := total - read; left > 0 && rate >= 1 {
		line += ", " + unit.Took(time.Duration(float64(left)/rate*1e9).Round(time.Second)) + " left"
	}
	return line
}
