package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// probeTime bounds the trial of one store.
const probeTime = 2 * time.Minute

// tryStores tries for real everything that jobs will ask of the stores, and
// returns what did not work. Each outcome is told as soon as it is there.
func (a *app) tryStores(ctx context.Context, cfg *configs.Config) configs.Problems {
	var found configs.Problems
	for _, s := range cfg.Stores {
		for _, p := range probeStore(ctx, cfg, s.Name) {
			outcome := "ok"
			if p.Err != nil {
				if outcome = "failed"; p.Warn {
					outcome = "does not work, which is no harm"
				}
				found = append(found, storeProblem(cfg, s.Name, p))
			}
			if a.format == formatTable {
				fmt.Fprintf(a.std.Out, "store %s: %s: %s%s\n", s.Name, p.Name, outcome, detailOf(p))
			}
		}
	}
	return found
}

func detailOf(p object.Probe) string {
	if p.Detail == "" {
		return ""
	}
	return " (" + oneLine(p.Detail, 0) + ")"
}

// probeStore tries one store. A store that cannot be opened is one failure.
func probeStore(ctx context.Context, cfg *configs.Config, name string) []object.Probe {
	store, secrets, err := cfg.OpenStore(name)
	if err != nil {
		return []object.Probe{{Name: "open", Err: err}}
	}
	prober, ok := store.(object.Prober)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, fmt.Errorf("no answer within %s", probeTime))
	defer cancel()
	redactor := secret.NewRedactor(secrets)
	probes := prober.Probe(ctx)
	for i, p := range probes {
		probes[i].Detail = redactor.Scrub(p.Detail)
		if p.Err != nil {
			probes[i].Err = jobs.WithHint(errors.New(redactor.Scrub(p.Err.Error())), jobs.HintOf(p.Err))
		}
	}
	return probes
}

// storeProblem says what did not work with a store, and which permission it
// lacks when that is known.
func storeProblem(cfg *configs.Config, store string, p object.Probe) configs.Problem {
	hint, severity := jobs.HintOf(p.Err), configs.Error
	if p.Warn {
		severity = configs.Warning
	}
	if p.Permission != "" {
		hint = "grant " + p.Permission
	}
	return configs.Problem{
		File: cfg.Path, Path: "stores." + store, Severity: severity, Rule: "online",
		Message: fmt.Sprintf("store %s: %s: %v", store, p.Name, p.Err), Hint: hint,
	}
}
