package alerts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// childVariable makes the test binary act as a process of its own instead of
// running tests.
const childVariable = "ALERTS_TEST_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(tortureChild(text))
	}
	os.Exit(m.Run())
}

// tortureOrder is what a child shall do.
type tortureOrder struct {
	// DSN is the ledger; Dir has the file of what arrived.
	DSN, Dir string
	// Began is when the torture began; time goes Scale times as fast for the
	// dispatcher from then on.
	Began time.Time
	Scale int
	// Changes is how many changes of state are still to be made. With none, all
	// channels are well.
	Changes int
}

func (o tortureOrder) dsn() secret.String { return secret.New(o.DSN) }

func (o tortureOrder) now() time.Time {
	return o.Began.Add(time.Since(o.Began) * time.Duration(o.Scale))
}

// arrival is what the receiving side of a channel got.
type arrival struct {
	Channel, ID, Incident string
	Action                runner.NoticeAction
	Items                 []arrival `json:",omitempty"`
}

// victim is a channel that misbehaves. What it accepts stands in a file before
// it answers.
type victim struct {
	name  string
	style alerts.Style
	calm  bool
	// refuses tells that it refuses some messages for good.
	refuses bool
	file    *os.File
}

func (v *victim) Style() alerts.Style { return v.style }

func (v *victim) Send(ctx context.Context, m alerts.Message) (string, error) {
	if v.calm {
		return "250 ok", v.accept(m)
	}
	moment := func(most time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(most)):
		}
	}
	switch chance := rand.IntN(100); {
	case chance < 15:
		return "", &alerts.TemporaryError{Err: errors.New("451 try again"), After: rand.N(10 * time.Second)}
	case chance < 20 && v.refuses:
		return "", &alerts.PermanentError{Err: errors.New("550 never")}
	case chance < 30:
		moment(150 * time.Millisecond)
		return "", errors.New("no answer")
	case chance < 45:
		err := v.accept(m)
		moment(50 * time.Millisecond)
		return "", errors.Join(errors.New("connection lost"), err)
	case chance < 65:
		moment(50 * time.Millisecond)
		err := v.accept(m)
		moment(50 * time.Millisecond)
		return "250 slowly", err
	default:
		return "250 ok", v.accept(m)
	}
}

func (v *victim) accept(m alerts.Message) error {
	a := arrival{Channel: v.name, ID: m.ID, Action: m.Action}
	if m.Incident != nil {
		a.Incident = m.Incident.ID
	}
	for _, item := range m.Items {
		a.Items = append(a.Items, arrival{Channel: v.name, ID: item.Notice, Action: item.Action, Incident: item.Incident.ID})
	}
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = v.file.Write(append(line, '\n')) // in one piece, at the end
	return err
}

// victims are the channels of the torture: mail gathers and has a rate, chat
// and the pager refuse some messages for good and fall back to mail, boss is
// told when a fault lasts.
func victims(calm bool, file *os.File) map[string]*victim {
	return map[string]*victim{
		"mail":  {name: "mail", style: alerts.Gathering, calm: calm, file: file},
		"chat":  {name: "chat", calm: calm, refuses: true, file: file},
		"pager": {name: "pager", style: alerts.Recording, calm: calm, refuses: true, file: file},
		"boss":  {name: "boss", calm: calm, file: file},
	}
}

func tortureSettings(name string) alerts.Settings {
	switch name {
	case "mail":
		return alerts.Settings{Style: alerts.Gathering, GroupWait: 20 * time.Second, Rate: alerts.Rate{Most: 40, Within: 5 * time.Minute}}
	case "chat":
		return alerts.Settings{Fallback: "mail", FallbackAfter: 2 * time.Minute}
	case "pager":
		return alerts.Settings{Style: alerts.Recording, Fallback: "mail", FallbackAfter: 2 * time.Minute}
	}
	return alerts.Settings{}
}

// tortureRoutes are what is done about faults that last.
func tortureRoutes() (*alerts.Policy, error) {
	return alerts.NewPolicy(alerts.PolicyOptions{Routes: []alerts.Route{{
		To: unit.Names{"mail", "chat", "pager"}, Repeat: unit.Duration(5 * time.Minute),
		Escalate: []alerts.Escalation{{After: unit.Duration(3 * time.Minute), To: unit.Names{"boss"}}},
	}}})
}

// tortureLease is short enough for a killed process to count as dead while the
// torture goes on. On SQLite the lock tells that, without a lease.
func tortureLease(dsn string) time.Duration {
	if strings.HasPrefix(dsn, "sqlite:") {
		return 0
	}
	return 5 * time.Second
}

func tortureChild(text string) int {
	var o tortureOrder
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = torment(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// torment changes states and sends what follows, until it is killed or its
// input ends.
func torment(ctx context.Context, o tortureOrder) (err error) {
	file, err := os.OpenFile(filepath.Join(o.Dir, "arrivals"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	policy, err := tortureRoutes()
	if err != nil {
		return err
	}
	var d *alerts.Dispatcher
	wake := make(chan struct{}, 1)
	l, err := ledger.Open(ctx, ledger.Options{DSN: o.dsn(), Exclusive: true, LeaseTTL: tortureLease(o.DSN), Flapping: ledger.Flapping{Changes: -1}, Owed: func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Register(ctx); err != nil {
		return err
	}
	all := victims(o.Changes == 0, file)
	d = alerts.New(alerts.Options{
		Outbox: l, Records: l, Stories: l, Duties: l, Incidents: l, Settler: l,
		Channels: func(name string) (alerts.Channel, []string, error) { return all[name], nil, nil },
		Names:    func() []string { return []string{"mail", "chat", "pager", "boss"} },
		Settings: tortureSettings, Policy: func() *alerts.Policy { return policy },
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})), Now: o.now,
	})
	ctx, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	running.Go(func() {
		// Its timers do not know that time goes faster.
		for tick := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-wake:
			case <-tick.C:
			}
			d.Wake()
		}
	})
	running.Go(func() {
		for tick := time.NewTicker(time.Second); ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-tick.C:
				if errors.Is(l.Heartbeat(ctx), runner.ErrLeaseLost) {
					_ = l.Register(ctx) // without it the next Take says so
				}
			}
		}
	})
	fmt.Println("ready")
	err = changes(ctx, l, o)
	fmt.Println("done")
	if err == nil {
		_, err = io.Copy(io.Discard, os.Stdin)
	}
	end()
	running.Wait()
	return err
}

// changes makes changes of state at random and says each one that is on record.
func changes(ctx context.Context, l *ledger.Ledger, o tortureOrder) error {
	for made := 0; made < o.Changes; {
		name := fmt.Sprintf("w-%02d", rand.IntN(12))
		var changed bool
		var err error
		switch chance := rand.IntN(10); {
		case chance < 5:
			severity := []jobs.Severity{jobs.Warning, jobs.Critical}[rand.IntN(2)]
			channels := []string{"mail", "chat"}
			if severity == jobs.Critical {
				channels = append(channels, "pager")
			}
			changed, err = l.Raise(ctx, runner.Fault{
				Fingerprint: "workflow/" + name, Workflow: name, Severity: severity, Reason: alerts.ReasonFailed, Title: name + " failed", At: time.Now(), Channels: channels,
			})
		case chance < 9:
			changed, err = l.Clear(ctx, "workflow/"+name, time.Now())
		default:
			changed, err = acknowledge(ctx, l)
		}
		if err != nil {
			return err
		}
		if changed {
			made++
			fmt.Println("changed")
		}
		time.Sleep(rand.N(8 * time.Millisecond)) // its length is an input of this test
	}
	return nil
}

// acknowledge takes over an open incident at random.
func acknowledge(ctx context.Context, l *ledger.Ledger) (bool, error) {
	open, err := l.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}})
	open = slices.DeleteFunc(open, func(i runner.Incident) bool { return !i.AckedAt.IsZero() })
	if err != nil || len(open) == 0 {
		return false, err
	}
	err = l.Ack(ctx, open[rand.IntN(len(open))].ID, "anna", "", time.Time{})
	if errors.Is(err, runner.ErrIncidentState) {
		return false, nil
	}
	return err == nil, err
}
