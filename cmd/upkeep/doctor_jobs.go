package main

import (
	"path/filepath"
	"strings"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health/doctor"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// eachJob makes every job of the configuration that can be made and that this
// node may run: what other machines have cannot be seen from here.
func (p *patient) eachJob(visit func(workflow string, j configs.Job, job jobs.Job)) {
	if !p.whole {
		return
	}
	for _, w := range p.cfg.Workflows {
		for _, j := range w.Jobs {
			job, secrets, err := j.Build(nil)
			p.secrets.Add(secrets...)
			if err == nil && w.Fits(p.cfg.Labels) {
				visit(w.Name, j, job)
			}
		}
	}
}

// keysOf are the names of what a job needs for itself alone.
func keysOf(job jobs.Job) []string {
	if e, ok := job.(jobs.Exclusive); ok {
		return e.LockKeys()
	}
	return nil
}

// units are those that jobs of the kind service name.
func (p *patient) units() []doctor.NamedUnit {
	var out []doctor.NamedUnit
	seen := map[string]bool{}
	p.eachJob(func(workflow string, j configs.Job, job jobs.Job) {
		for _, key := range keysOf(job) {
			unit, ok := strings.CutPrefix(key, "service/")
			if ok && j.Kind == "service" && !seen[unit] {
				seen[unit] = true
				out = append(out, doctor.NamedUnit{Name: unit, Job: workflow + "." + j.Name})
			}
		}
	})
	return out
}

// certificates are the jobs that look after certificates; without effects they
// only look.
func (p *patient) certificates() []doctor.Probe {
	var out []doctor.Probe
	p.eachJob(func(workflow string, j configs.Job, job jobs.Job) {
		if j.Kind == "certificate" {
			name := workflow + "." + j.Name
			out = append(out, doctor.Probe{
				Name: name, Kind: j.Kind, Impact: "outage", Env: p.env(name, false), Next: "upkeep run " + name,
				Open: func() (jobs.Job, []string, error) { return job, nil, nil },
			})
		}
	})
	return out
}

// places are the folders that matter.
func (p *patient) places() []doctor.Place {
	if p.cfg == nil {
		return nil
	}
	out := []doctor.Place{{Path: p.cfg.Root, What: "the root folder"}, {Path: service.StateDir(p.cfg), What: "the ledger"}}
	if !p.whole {
		return out
	}
	for _, s := range p.cfg.Stores {
		store, secrets, err := p.cfg.OpenStore(s.Name)
		p.secrets.Add(secrets...)
		if housed, ok := store.(object.Housed); ok && err == nil {
			out = append(out, doctor.Place{Path: housed.Dir(), What: "the store " + s.Name})
		}
	}
	p.eachJob(func(workflow string, j configs.Job, job jobs.Job) {
		for _, key := range keysOf(job) {
			for _, family := range []string{"path", "sqlite"} {
				if at, ok := strings.CutPrefix(key, family); ok && filepath.IsAbs(at) {
					out = append(out, doctor.Place{Path: at, What: workflow + "." + j.Name})
				}
			}
		}
	})
	return out
}
