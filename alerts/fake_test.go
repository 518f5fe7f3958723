package alerts_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/runner"
)

// outbox keeps notices in memory and reads records for the dispatcher.
type outbox struct {
	mu      sync.Mutex
	notices []*runner.Notice
	faults  map[string][]error // of the next calls, by method
	takes   int

	incident runner.Incident
	run      runner.Run
	attempts []runner.Attempt
	output   runner.Output
}

func (o *outbox) fault(method string) error {
	if errs := o.faults[method]; len(errs) > 0 {
		o.faults[method] = errs[1:]
		return errs[0]
	}
	return nil
}

func (o *outbox) owe(n runner.Notice) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n.State, n.NextAt = runner.NoticePending, n.CreatedAt
	o.notices = append(o.notices, &n)
}

func (o *outbox) Take(_ context.Context, channel string, now time.Time, lease time.Duration, limit int) ([]runner.Notice, time.Time, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.takes++
	if err := o.fault("Take"); err != nil {
		return nil, time.Time{}, err
	}
	var taken []runner.Notice
	var next time.Time
	for _, n := range o.notices {
		switch {
		case n.Channel != channel || n.State != runner.NoticePending && n.State != runner.NoticeSending:
		case n.NextAt.After(now) || len(taken) == limit:
			if next.IsZero() || n.NextAt.Before(next) {
				next = n.NextAt
			}
		default:
			n.State, n.NextAt = runner.NoticeSending, now.Add(lease)
			n.Attempts++
			taken = append(taken, *n)
		}
	}
	return taken, next, nil
}

func (o *outbox) settle(method, id string, do func(*runner.Notice)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.fault(method); err != nil {
		return err
	}
	i := slices.IndexFunc(o.notices, func(n *runner.Notice) bool { return n.ID == id })
	if i < 0 {
		return runner.ErrNotFound
	}
	do(o.notices[i])
	return nil
}

func (o *outbox) Sent(_ context.Context, id, receipt string) error {
	return o.settle("Sent", id, func(n *runner.Notice) { n.State, n.Receipt = runner.NoticeSent, receipt })
}

func (o *outbox) Retry(_ context.Context, id, why string, next time.Time) error {
	return o.settle("Retry", id, func(n *runner.Notice) { n.State, n.Error, n.NextAt = runner.NoticePending, why, next })
}

func (o *outbox) Bury(_ context.Context, id, why string) error {
	return o.settle("Bury", id, func(n *runner.Notice) { n.State, n.Error = runner.NoticeDead, why })
}

func (o *outbox) Revive(_ context.Context, id string) error {
	return o.settle("Revive", id, func(n *runner.Notice) { n.State, n.NextAt = runner.NoticePending, time.Now() })
}

func (o *outbox) get(t *testing.T, id string) runner.Notice {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.notices {
		if n.ID == id {
			return *n
		}
	}
	t.Fatalf("no notice %s", id)
	return runner.Notice{}
}

func (o *outbox) Incident(context.Context, string) (runner.Incident, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.fault("Incident"); err != nil {
		return runner.Incident{}, err
	}
	return o.incident, nil
}

func (o *outbox) Notices(_ context.Context, f runner.NoticeFilter) ([]runner.Notice, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []runner.Notice
	for _, n := range slices.Backward(o.notices) {
		if (f.Incident == "" || f.Incident == n.Incident) && (f.Channel == "" || f.Channel == n.Channel) &&
			(len(f.States) == 0 || slices.Contains(f.States, n.State)) {
			out = append(out, *n)
		}
	}
	return out, nil
}

func (o *outbox) Run(_ context.Context, id string) (runner.Run, error) {
	if id != string(o.run.ID) {
		return runner.Run{}, runner.ErrNotFound
	}
	return o.run, nil
}

func (o *outbox) Attempts(context.Context, ...runner.RunID) ([]runner.Attempt, error) {
	return o.attempts, nil
}

func (o *outbox) Output(context.Context, runner.AttemptKey) (runner.Output, error) {
	return o.output, nil
}

// channel answers as its function does, and remembers what it got.
type channel struct {
	mu   sync.Mutex
	send func(ctx context.Context, m alerts.Message) (string, error)
	got  []alerts.Message
	at   []time.Time
}

func (c *channel) Send(ctx context.Context, m alerts.Message) (string, error) {
	c.mu.Lock()
	c.got, c.at = append(c.got, m), append(c.at, time.Now())
	send := c.send
	c.mu.Unlock()
	if send == nil {
		return "accepted", nil
	}
	return send(ctx, m)
}

func (c *channel) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// bench is a dispatcher under test.
type bench struct {
	*outbox
	d        *alerts.Dispatcher
	channels map[string]*channel
	names    []string
	secrets  []string
	log      *logged
	end      func() // ends Run and waits for it
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newBench starts a dispatcher, inside a synctest bubble.
func newBench(t *testing.T, channels map[string]*channel, prepare func(*bench)) *bench {
	t.Helper()
	b := &bench{outbox: &outbox{faults: map[string][]error{}}, channels: channels, log: &logged{}, secrets: []string{"s3cret-token"}}
	for name := range channels {
		b.names = append(b.names, name)
	}
	if prepare != nil {
		prepare(b)
	}
	b.d = alerts.New(alerts.Options{
		Outbox: b.outbox, Records: b.outbox,
		Channels: func(name string) (alerts.Channel, []string, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if c := b.channels[name]; c != nil {
				return c, b.secrets, nil
			}
			return nil, nil, fmt.Errorf("%w: %s", alerts.ErrNoChannel, name)
		},
		Names: func() []string {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.names
		},
		Origin: alerts.Origin{Project: "ghosteam-v5", Node: "db-1"},
		Log:    slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		Random: func() float64 { return 0.5 },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.d.Run(ctx)
	}()
	b.end = func() {
		cancel()
		<-ended
	}
	return b
}

// reminder is a notice of no incident.
func reminder(id, channel string) runner.Notice {
	return runner.Notice{ID: id, Channel: channel, Action: runner.NoticeRemind, Subject: "daily is paused", Text: "by anna", CreatedAt: time.Now()}
}
