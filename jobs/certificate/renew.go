package certificate

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/runner/retry"
)

const (
	// saidBytes bounds what is kept of a program's output for its last words.
	saidBytes = 64 << 10
	// busyPause is the time between two looks whether another certbot has ended.
	busyPause = 2 * time.Second
	// busyWords are what certbot says when another one holds its lock.
	busyWords = "Another instance of Certbot is already running"
)

// limited matches what an authority or certbot says when it wants no more
// requests (RFC 8555, 6.6).
var limited = regexp.MustCompile(`(?i)urn:ietf:params:acme:error:rateLimited|too many (certificates|failed authorizations|new orders|requests|currently pending)|rate limit`)

// renewOne has one certificate renewed.
func (r *run) renewOne(ctx context.Context, l *look) error {
	o := r.job.options.Renew
	argv := o.Run
	if o.isCertbot() {
		argv = slices.Concat(argv, []string{"renew", "--non-interactive", "--no-random-sleep-on-renew", "--cert-name", l.of.lineage()}, o.Arguments)
	}
	left, share := l.disk.left(time.Now())
	what := fmt.Sprintf("renew certificate %s (%.1f days, %.0f %% of its lifetime left): %s", l.name, left.Hours()/24, share, strings.Join(argv, " "))
	err := r.env.Effect(ctx, r.env.OneLine(what), func(ctx context.Context) error {
		return r.command(ctx, argv, append(r.variables(), "CERTIFICATE="+l.of.name()))
	})
	if err != nil {
		return fmt.Errorf("renew certificate %s: %w", l.name, err)
	}
	return nil
}

func (r *run) variables() []string {
	o := r.job.options.Renew
	out := r.env.Environ()
	for _, name := range slices.Sorted(maps.Keys(o.Env)) {
		out = append(out, name+"="+o.Env[name].Reveal())
	}
	return out
}

// reload makes the servers load what is on disk.
func (r *run) reload(ctx context.Context) error {
	argv := r.job.options.Renew.Reload
	what := strings.Join(argv, " ")
	if argv.IsShell() {
		what = argv[2]
	}
	err := r.env.Effect(ctx, r.env.OneLine("have the certificates loaded: "+what), func(ctx context.Context) error {
		return r.command(ctx, argv, r.env.Environ())
	})
	if err != nil {
		return fmt.Errorf("have the certificates loaded: %w", err)
	}
	return nil
}

// command runs a program. While another certbot runs it is tried again.
func (r *run) command(ctx context.Context, argv, variables []string) error {
	timeout := r.job.options.Renew.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout.Std(), fmt.Errorf("%s did not end within %s", filepath.Base(argv[0]), timeout))
	defer cancel()
	for {
		said := &tail{limit: saidBytes}
		output := io.MultiWriter(r.env.Out, said)
		_, err := child.Run(ctx, child.Command{
			Argv: argv, Dir: r.env.Root, Env: variables, Stdout: output, Stderr: output, Grace: r.env.KillGrace, Marks: r.env.Marks(),
		})
		if err == nil {
			return nil
		}
		text := r.env.Scrub(said.String())
		if ctx.Err() == nil && strings.Contains(text, busyWords) {
			r.env.Printf("waiting for another certbot to end")
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for another certbot to end: %w", context.Cause(ctx))
			case <-time.After(busyPause):
				continue
			}
		}
		if words := lastWords(text); words != "" {
			err = fmt.Errorf("%w: %s", err, jobs.OneLine(words))
		}
		if limited.MatchString(text) {
			return jobs.WithHint(retry.Permanent(err), "the authority allows no more for now: wait for the time that it names, and look for what asks it so often")
		}
		return err
	}
}

// lastWords are what a program said about its failure: certbot's reasons where
// it gives any, else the last line. What certbot adds for everybody is left out.
func lastWords(said string) string {
	var reasons []string
	last := ""
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.Trim(line, "- ") == "" || strings.HasPrefix(line, "Ask for help"), strings.HasPrefix(line, "See the logfile"),
			strings.HasSuffix(line, "renew failure(s), 0 parse failure(s)"):
			continue
		case strings.HasPrefix(line, "Detail:"), strings.Contains(line, "with error:"), strings.HasPrefix(line, "An unexpected error"), strings.Contains(line, "Error"):
			if !slices.Contains(reasons, line) {
				reasons = append(reasons, line)
			}
		}
		last = line
	}
	if len(reasons) > 0 {
		return strings.Join(reasons[max(0, len(reasons)-3):], "; ")
	}
	return last
}

// tail keeps the last bytes written to it. It is safe for several goroutines.
type tail struct {
	limit int

	mu  sync.Mutex
	buf []byte
	cut bool
}

// Write keeps the end of what was written.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut = t.cut || len(t.buf)+len(p) > t.limit
	t.buf = append(t.buf, p[max(len(p)-t.limit, 0):]...)
	if excess := len(t.buf) - t.limit; excess > 0 {
		t.buf = append(t.buf[:0], t.buf[excess:]...)
	}
	return len(p), nil
}

// String returns the last whole lines: half of one could be half of a secret,
// which nobody would recognize.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.cut {
		return string(t.buf)
	}
	_, whole, _ := strings.Cut(string(t.buf), "\n")
	return whole
}
