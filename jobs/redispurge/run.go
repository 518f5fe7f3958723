package redispurge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/redis"
)

const (
	// scanAtLeast is how many keys a call of SCAN looks at, at least: with
	// fewer, most of the time goes into asking.
	scanAtLeast = 1000
	// freeWait bounds the wait for the server to free what was removed, and
	// freeLook is the time between two looks.
	freeWait, freeLook = 5 * time.Second, 50 * time.Millisecond
)

// open connects and refuses servers on which nothing must be removed.
func (j *Job) open(ctx context.Context) (*redis.Conn, error) {
	c, err := redis.Connect(ctx, j.address)
	if err != nil {
		return nil, err
	}
	if err := j.suits(c.Server); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (j *Job) suits(s redis.Server) error {
	switch {
	case s.Mode != "standalone":
		return jobs.WithHint(&jobs.RefusedError{Rail: "server", Why: fmt.Sprintf("the server runs as %s; a node of it holds a part of the keys at most", s.Mode)},
			"this kind works on standalone servers only")
	case s.Replica:
		return jobs.WithHint(&jobs.RefusedError{Rail: "server", Why: "the server is a replica: what is removed here stays on its primary"},
			"name the primary under databases:")
	case j.options.Idle > 0 && s.LFU():
		return jobs.WithHint(&jobs.RefusedError{Rail: "idle", Why: fmt.Sprintf("the server's maxmemory-policy is %s, and with it nobody knows how long a key was not used", s.Policy)},
			"leave idle: out, or change the policy")
	}
	return nil
}

// Check tells whether the server answers, and whether it may be purged.
func (j *Job) Check(ctx context.Context, _ *jobs.Env) error {
	c, err := j.open(ctx)
	if err != nil {
		return fmt.Errorf("database %s: %w", j.database.Name, err)
	}
	_, _, err = c.Scan(ctx, 0, j.options.Match[0], j.options.Type, 1)
	if err = errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("database %s: %w", j.database.Name, err)
	}
	return nil
}

// run is one run on its way.
type run struct {
	job  *Job
	env  *jobs.Env
	conn *redis.Conn

	before, matched, deleted int64
	memory                   int64
	samples                  []string
	values                   map[string]float64
}

// Run counts what matches and removes it.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (_ jobs.Result, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("database %s: %w", j.database.Name, err)
		}
	}()
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, err
	}
	r := &run{job: j, env: env, values: map[string]float64{}}
	if r.conn, err = j.open(ctx); err != nil {
		return jobs.Result{}, err
	}
	defer func() { err = errors.Join(err, r.conn.Close()) }()
	r.memory = r.conn.Server.UsedMemory
	if r.before, err = r.conn.Size(ctx); err != nil {
		return jobs.Result{}, err
	}
	if err := r.count(ctx); err != nil {
		return r.result(), err
	}
	r.values["keys_before"], r.values["matched_keys"] = float64(r.before), float64(r.matched)
	r.values["memory_before_bytes"] = float64(r.memory)
	env.Printf("%d of %d keys match: %s", r.matched, r.before, env.OneLine(j.title()))
	if err := r.rails(); err != nil {
		return r.result(), err
	}
	if r.matched == 0 {
		return r.result(), nil
	}
	if env.DryRun() {
		return r.announce(ctx)
	}
	err = r.purge(ctx)
	r.values["deleted_keys"] = float64(r.deleted)
	if err == nil {
		err = r.after(ctx)
	}
	return r.result(), err
}

// walk hands all keys that match to visit, in batches. It holds one answer of
// SCAN at a time.
func (r *run) walk(ctx context.Context, visit func(keys []string) error) error {
	o := r.job.options
	for _, pattern := range o.Match {
		for cursor := uint64(0); ; {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			names, next, err := r.conn.Scan(ctx, cursor, pattern, o.Type, max(int64(o.Batch), scanAtLeast))
			if err != nil {
				return err
			}
			for len(names) > 0 {
				n := min(len(names), o.Batch)
				keys, err := r.choose(ctx, names[:n])
				if err == nil && len(keys) > 0 {
					err = visit(keys)
				}
				if err != nil {
					return err
				}
				names = names[n:]
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
	}
	return nil
}

// choose returns those keys that may go by what is known of them.
func (r *run) choose(ctx context.Context, names []string) ([]string, error) {
	o := r.job.options
	keys, err := r.conn.Facts(ctx, names, o.Idle > 0, o.WithoutTTL)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, k := range keys {
		if (o.Idle == 0 || k.Idle >= o.Idle.Std()) && (!o.WithoutTTL || k.Forever) {
			out = append(out, k.Name)
		}
	}
	return out, nil
}

// count counts what matches. A key that SCAN returns twice, or that two
// patterns match, counts twice.
func (r *run) count(ctx context.Context) error {
	return r.walk(ctx, func(keys []string) error {
		r.matched += int64(len(keys))
		r.samples = append(r.samples, keys[:min(len(keys), max(r.job.options.Samples-len(r.samples), 0))]...)
		r.env.Progress(r.matched, 0, "matching keys")
		return nil
	})
}

// rails compares what matches with what may go.
func (r *run) rails() error {
	o := r.job.options
	if r.matched > o.MaxKeys {
		return jobs.WithHint(&jobs.RefusedError{Rail: "max_keys", Why: fmt.Sprintf("%d keys match, more than %d; none was removed", r.matched, o.MaxKeys)},
			"look at them with --dry-run, then narrow match: or raise max_keys:")
	}
	if o.All || r.before == 0 {
		return nil
	}
	if share := 100 * float64(r.matched) / float64(r.before); share > float64(o.MaxShare) {
		return jobs.WithHint(&jobs.RefusedError{Rail: "max_share", Why: fmt.Sprintf("%d of %d keys match (%.1f %%), more than %s; none was removed", r.matched, r.before, share, o.MaxShare)},
			"look at them with --dry-run, then narrow match: or raise max_share:")
	}
	return nil
}

// announce says what a run would do.
func (r *run) announce(ctx context.Context) (jobs.Result, error) {
	what := fmt.Sprintf("remove %d keys from %s: %s", r.matched, r.job.database.Name, r.job.title())
	err := r.env.Effect(ctx, r.env.OneLine(what), func(context.Context) error { return nil })
	for _, name := range r.samples {
		r.env.Printf("  such as %s", r.shown(name))
	}
	return r.result(), err
}

// shown is the name of a key for people.
func (r *run) shown(name string) string {
	text := []rune(r.env.OneLine(name))
	if len(text) > shownName {
		text = append(text[:shownName-1], '…')
	}
	return string(text)
}

// purge removes what matches now, up to the rail.
func (r *run) purge(ctx context.Context) error {
	o := r.job.options
	first := true
	return r.walk(ctx, func(keys []string) error {
		if room := o.MaxKeys - r.deleted; int64(len(keys)) > room {
			keys = keys[:room]
		}
		if len(keys) == 0 {
			return nil
		}
		if !first && o.Pause > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(o.Pause.Std()):
			}
		}
		first = false
		what := fmt.Sprintf("remove %d keys from %s, such as %s", len(keys), r.job.database.Name, r.shown(keys[0]))
		if o.Samples == 0 {
			what = fmt.Sprintf("remove %d keys from %s", len(keys), r.job.database.Name)
		}
		return r.env.Effect(ctx, what, func(ctx context.Context) error {
			n, err := r.conn.Unlink(ctx, keys)
			r.deleted += n
			r.env.Progress(r.deleted, max(r.matched, r.deleted), "keys")
			return err
		})
	})
}

// after looks at the server when the work is done: the memory is freed in the
// background.
func (r *run) after(ctx context.Context) error {
	for deadline := time.Now().Add(freeWait); ; {
		if err := r.conn.Look(ctx); err != nil {
			return err
		}
		if r.conn.Server.Pending == 0 || time.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(freeLook):
		}
	}
	n, err := r.conn.Size(ctx)
	if err != nil {
		return err
	}
	used := r.conn.Server.UsedMemory
	r.values["keys_after"], r.values["memory_after_bytes"] = float64(n), float64(used)
	r.values["freed_bytes"] = float64(r.memory - used)
	return nil
}

// result is what is known so far.
func (r *run) result() jobs.Result {
	what := r.env.OneLine(r.job.title())
	var summary string
	switch freed, measured := r.values["freed_bytes"]; {
	case r.matched == 0:
		summary = fmt.Sprintf("nothing to remove: %s", what)
	case r.env.DryRun():
		summary = fmt.Sprintf("would remove %d of %d keys: %s", r.matched, r.before, what)
	case measured && freed > 0:
		summary = fmt.Sprintf("%d of %d keys removed, %s freed: %s", r.deleted, r.before, humanize.IBytes(uint64(freed)), what)
	default:
		summary = fmt.Sprintf("%d of %d keys removed: %s", r.deleted, r.before, what)
	}
	return jobs.Result{Summary: r.env.OneLine(summary), Values: r.values}
}
