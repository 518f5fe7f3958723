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

	// incident is what every notice is about; incidents are the others that are
	// on record.
	incident  runner.Incident
	incidents []*runner.Incident
	run       runner.Run
	attempts  []runner.Attempt
	output    runner.Output
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

// Owe records notices once.
func (o *outbox) Owe(_ context.Context, notices ...runner.Notice) error {
	for _, n := range notices {
		o.mu.Lock()
		known := slices.ContainsFunc(o.notices, func(m *runner.Notice) bool { return m.ID == n.ID })
		o.mu.Unlock()
		if !known {
			n.CreatedAt = time.Now()
			o.owe(n)
		}
	}
	return nil
}

func (o *outbox) Raise(context.Context, runner.Fault) (bool, error) { return false, nil }

func (o *outbox) Clear(context.Context, string, time.Time) (bool, error) { return false, nil }

// find returns the incident of that ID; nil for none. o.mu is held.
func (o *outbox) find(id string) *runner.Incident {
	for _, i := range o.incidents {
		if i.ID == id {
			return i
		}
	}
	if id == o.incident.ID {
		return &o.incident
	}
	return nil
}

// tell owes a channel a notice of an incident. o.mu is held.
func (o *outbox) tell(i *runner.Incident, channel string, n runner.Notice) {
	n.ID, n.Incident, n.Channel, n.CreatedAt = fmt.Sprintf("%s-%s-%s-%d", i.ID, channel, n.Action, n.Seq), i.ID, channel, time.Now()
	n.State, n.NextAt = runner.NoticePending, n.CreatedAt
	o.notices = append(o.notices, &n)
	if !slices.Contains(i.Channels, channel) {
		i.Channels = append(i.Channels, channel)
	}
}

// Repeat follows the obligations of runner.Duties.
func (o *outbox) Repeat(_ context.Context, incident, channel string, seq int, _ time.Time) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := o.find(incident)
	for _, n := range o.notices {
		if n.Incident == incident && n.Channel == channel && (n.EndedAt.IsZero() || n.Action == runner.NoticeRepeat && n.Seq >= seq) {
			return false, nil
		}
	}
	if i.State != runner.IncidentOpen {
		return false, nil
	}
	o.tell(i, channel, runner.Notice{Action: runner.NoticeRepeat, Seq: seq})
	return true, nil
}

// Widen follows the obligations of runner.Duties.
func (o *outbox) Widen(_ context.Context, incident, text string, _ time.Time, channels ...string) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := 0
	for i := o.find(incident); count < len(channels) && !slices.Contains(i.Channels, channels[count]); count++ {
		o.tell(i, channels[count], runner.Notice{Action: runner.NoticeOpen, Text: text})
	}
	return count, nil
}

// Divert follows the obligations of runner.Duties.
func (o *outbox) Divert(_ context.Context, notice, to, text string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.fault("Divert"); err != nil {
		return false, err
	}
	k := slices.IndexFunc(o.notices, func(n *runner.Notice) bool { return n.ID == notice })
	n := *o.notices[k]
	if n.Incident == "" {
		id := n.ID + "-" + to
		if slices.ContainsFunc(o.notices, func(n *runner.Notice) bool { return n.ID == id }) {
			return false, nil
		}
		n.ID, n.Channel, n.Text, n.State, n.Attempts, n.NextAt = id, to, text+"\n\n"+n.Text, runner.NoticePending, 0, time.Now()
		o.notices = append(o.notices, &n)
		return true, nil
	}
	i := o.find(n.Incident)
	if slices.Contains(i.Channels, to) {
		return false, nil
	}
	o.tell(i, to, runner.Notice{Action: n.Action, Text: text})
	return true, nil
}

func (o *outbox) Supersede(_ context.Context, id, why string) error {
	return o.settle("Supersede", id, func(n *runner.Notice) { n.State, n.Error, n.EndedAt = runner.NoticeSuperseded, why, time.Now() })
}

func (o *outbox) Incidents(_ context.Context, f runner.IncidentFilter) ([]runner.Incident, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []runner.Incident
	for _, i := range slices.Backward(o.incidents) {
		if (len(f.States) == 0 || slices.Contains(f.States, i.State)) && (f.Before == "" || i.ID < f.Before) && len(out) < f.Limit {
			c := *i
			c.Channels = slices.Clone(i.Channels)
			out = append(out, c)
		}
	}
	return out, nil
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
	return o.settle("Sent", id, func(n *runner.Notice) { n.State, n.Receipt, n.EndedAt = runner.NoticeSent, receipt, time.Now() })
}

func (o *outbox) Retry(_ context.Context, id, why string, next time.Time) error {
	return o.settle("Retry", id, func(n *runner.Notice) { n.State, n.Error, n.NextAt = runner.NoticePending, why, next })
}

func (o *outbox) Bury(_ context.Context, id, why string) error {
	return o.settle("Bury", id, func(n *runner.Notice) { n.State, n.Error, n.EndedAt = runner.NoticeDead, why, time.Now() })
}

func (o *outbox) Revive(_ context.Context, id string) error {
	return o.settle("Revive", id, func(n *runner.Notice) { n.State, n.NextAt = runner.NoticePending, time.Now() })
}

func (o *outbox) Channels(context.Context) ([]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.fault("Channels"); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range o.notices {
		if n.EndedAt.IsZero() {
			names = append(names, n.Channel)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
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

func (o *outbox) Incident(_ context.Context, id string) (runner.Incident, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.fault("Incident"); err != nil {
		return runner.Incident{}, err
	}
	if i := o.find(id); i != nil {
		return *i, nil
	}
	return runner.Incident{}, runner.ErrNotFound
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
	settings map[string]alerts.Settings
	policy   *alerts.Policy
	weekly   alerts.Weekly
	stories  alerts.Stories
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
		Outbox: b.outbox, Records: b.outbox, Duties: b.outbox, Incidents: b.outbox,
		Policy:   func() *alerts.Policy { return b.policy },
		Settings: func(name string) alerts.Settings { return b.settings[name] },
		Weekly:   func() alerts.Weekly { return b.weekly },
		Stories:  b.stories,
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
