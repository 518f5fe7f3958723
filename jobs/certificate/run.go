package certificate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// Check tells whether the program that renews is there, and whether the files
// can be read.
func (j *Job) Check(_ context.Context, env *jobs.Env) error {
	var errs []error
	for _, c := range j.options.Certificates {
		if c.File != "" {
			if _, err := readChain(string(c.File)); err != nil {
				errs = append(errs, jobs.WithHint(fmt.Errorf("certificate %s: %w", c.name(), err), "correct file:, or let upkeep read it"))
			}
		}
	}
	if r := j.options.Renew; r != nil {
		for _, argv := range [][]string{r.Run, r.Reload} {
			if len(argv) == 0 {
				continue
			}
			if _, err := child.LookPath(argv[0], env.Environ(), env.Root); err != nil {
				errs = append(errs, jobs.WithHint(fmt.Errorf("find %s: %w", argv[0], err), "install the program, or write its full path"))
			}
		}
	}
	return errors.Join(errs...)
}

// run is one run on its way.
type run struct {
	job    *Job
	env    *jobs.Env
	looks  []*look
	events []jobs.Event
	// planned are the names of what a dry run would renew.
	planned int
}

// Run looks at all certificates and renews what is due.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	r := &run{job: j, env: env}
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("look at certificates: %w", err)
	}
	if err := r.look(ctx); err != nil {
		return jobs.Result{}, err
	}
	var err error
	if j.options.Renew != nil {
		err = r.renew(ctx)
	}
	for _, l := range r.looks {
		r.env.Printf("%s: %.1f days left", l.name, l.values["days_left."+l.name])
	}
	return r.result(), err
}

func (r *run) look(ctx context.Context) error {
	r.looks = nil
	for i, c := range r.job.options.Certificates {
		l, err := r.job.look(ctx, r.env, c)
		if err != nil {
			return err
		}
		r.looks = append(r.looks, l)
		r.env.Progress(int64(i+1), int64(len(r.job.options.Certificates)), "certificates")
	}
	return nil
}

// due tells whether a certificate has to be renewed.
func (r *run) due(l *look) bool {
	if l.disk == nil {
		return false
	}
	_, share := l.disk.left(time.Now())
	return share < float64(r.job.options.Renew.Due)
}

// renew renews what is due, and makes the servers load what they do not serve.
func (r *run) renew(ctx context.Context) error {
	var errs []error
	renewed := 0
	for i, l := range r.looks {
		if !r.due(l) {
			continue
		}
		was := l.disk
		if err := r.renewOne(ctx, l); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil {
				return errors.Join(errs...)
			}
			continue
		}
		if r.env.DryRun() {
			r.planned++
			continue
		}
		now, err := r.job.look(ctx, r.env, l.of)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		r.looks[i] = now
		if now.disk == nil || now.disk.fingerprint() == was.fingerprint() {
			errs = append(errs, jobs.WithHint(fmt.Errorf("certificate %s: the program ended well, but the certificate in %s is the same as before", l.name, l.of.File),
				"certbot renews in the last third by its own count: compare renew.due with renew_before_expiry of its configuration, and file with its folder"))
			continue
		}
		renewed++
		r.events = append(r.events, jobs.Event{
			Kind: "certificate", Subject: l.name,
			Text: fmt.Sprintf("renewed: expires %s instead of %s", day(now.disk.leaf.NotAfter), day(was.leaf.NotAfter)),
		})
	}
	return errors.Join(append(errs, r.load(ctx, renewed > 0 || r.planned > 0))...)
}

// load makes the servers load what is on disk, and waits until they serve it.
func (r *run) load(ctx context.Context, fresh bool) error {
	if !fresh && !r.stale() {
		return nil
	}
	o := r.job.options.Renew
	if len(o.Reload) > 0 {
		if err := r.reload(ctx); err != nil {
			return err
		}
	}
	if r.env.DryRun() || len(o.Reload) == 0 && !fresh {
		return nil // nothing was done that could have changed what is served
	}
	return r.serve(ctx)
}

func (r *run) stale() bool {
	for _, l := range r.looks {
		if l.stale() {
			return true
		}
	}
	return false
}

// serve dials until all places serve what is on disk.
func (r *run) serve(ctx context.Context) error {
	within := r.job.options.Renew.Within.Std()
	for deadline := time.Now().Add(within); ; {
		if err := r.look(ctx); err != nil {
			return err
		}
		if !r.stale() {
			return nil
		}
		if time.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the new certificate to be served: %w", context.Cause(ctx))
		case <-time.After(min(within/20, time.Second)):
		}
	}
	var errs []error
	for _, l := range r.looks {
		if l.stale() {
			errs = append(errs, fmt.Errorf("certificate %s: %s after it was renewed or loaded, another certificate than the one in %s is served: %s",
				l.name, r.job.options.Renew.Within, l.of.File, l.staleAt()))
		}
	}
	return jobs.WithHint(errors.Join(errs...), "let renew.reload load it into every server that is listed under served")
}

// staleAt names the places that do not serve what is on disk.
func (l *look) staleAt() string {
	var at []string
	for i, shown := range l.served {
		switch {
		case shown == nil:
			at = append(at, l.errs[i].Error())
		case shown.fingerprint() != l.disk.fingerprint():
			at = append(at, fmt.Sprintf("%s serves one that expires %s", l.of.Served[i].address(), day(shown.leaf.NotAfter)))
		}
	}
	return strings.Join(at, ", ")
}

// result is what is known so far.
func (r *run) result() jobs.Result {
	out := jobs.Result{Values: map[string]float64{"certificates": float64(len(r.looks)), "renewed": float64(len(r.events))}, Events: r.events}
	var soonest *look
	for _, l := range r.looks {
		maps.Copy(out.Values, l.values)
		out.Findings = append(out.Findings, l.findings...)
		days, known := l.values["days_left."+l.name]
		if known && (soonest == nil || days < soonest.values["days_left."+soonest.name]) {
			soonest = l
		}
	}
	what := ""
	switch {
	case r.planned > 0:
		what = fmt.Sprintf("would renew %d of %d certificates", r.planned, len(r.looks))
	case len(r.events) > 0:
		what = fmt.Sprintf("%d of %d certificates renewed", len(r.events), len(r.looks))
	case soonest != nil:
		what = fmt.Sprintf("%d certificates, the first to expire is %s in %.1f days", len(r.looks), soonest.name, soonest.values["days_left."+soonest.name])
	}
	if bad := jobs.Headline(out.Findings); bad != "" && len(r.events)+r.planned > 0 {
		what += "; " + bad
	} else {
		what = cmp.Or(bad, what)
	}
	out.Summary = r.env.OneLine(cmp.Or(what, "no certificate could be looked at"))
	return out
}
