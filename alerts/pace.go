package alerts

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// mostGathered bounds what one digest stands for.
const mostGathered = 200

// pace is when a channel took messages lately.
type pace struct {
	seeded bool
	at     []time.Time // ascending
}

// add remembers a message.
func (p *pace) add(now time.Time) { p.at = append(p.at, now) }

// room tells how many more messages a rate allows now and, when none, when one
// is allowed.
func (p *pace) room(r Rate, now time.Time) (free int, when time.Time) {
	if r.Most == 0 {
		p.at = nil
		return math.MaxInt, time.Time{}
	}
	// Whatever the clock does, nothing counts for longer than the rate says.
	p.at = slices.DeleteFunc(p.at, func(t time.Time) bool { return now.Sub(t) >= r.Within || t.After(now.Add(r.Within)) })
	if free = r.Most - len(p.at); free > 0 {
		return free, time.Time{}
	}
	return 0, p.at[len(p.at)-r.Most].Add(r.Within)
}

// turn is what a worker does next: take at most so many notices, several for a
// digest, or wait.
type turn struct {
	most int
	wait time.Duration
}

// next decides what to do next under the settings of the channel.
func (w *worker) next(ctx context.Context, s Settings, now time.Time) (turn, error) {
	if s.Rate.Most > 0 && !w.pace.seeded {
		if err := w.seed(ctx, s.Rate, now); err != nil {
			return turn{}, err
		}
	}
	free, when := w.pace.room(s.Rate, now)
	switch {
	case free == 0:
		return turn{wait: max(when.Sub(now), time.Millisecond)}, nil
	case s.Style != Gathering, now.Before(w.alone), s.GroupWait == 0 && free > 1:
		return turn{most: 1}, nil
	case free == 1 && s.Rate.Most > 1:
		return turn{most: mostGathered}, nil // the last message for now says it all
	}
	return w.gather(ctx, s, now)
}

// gather looks whether openings that are due are alone: then they go out at
// once. Otherwise they wait for more, and go out together.
func (w *worker) gather(ctx context.Context, s Settings, now time.Time) (turn, error) {
	waiting, err := w.o.Records.Notices(ctx, runner.NoticeFilter{
		Channel: w.name, States: []runner.NoticeState{runner.NoticePending}, Limit: mostGathered,
	})
	if err != nil {
		return turn{}, err
	}
	openings := 0
	oldest := now
	for _, n := range waiting {
		if n.Action == runner.NoticeOpen && n.Attempts == 0 && !n.NextAt.After(now) && !n.Withheld {
			openings++
			if n.CreatedAt.Before(oldest) {
				oldest = n.CreatedAt
			}
		}
	}
	alone := openings == 0 || openings == 1 && now.Sub(w.opened) >= s.GroupWait
	full := openings >= mostGathered
	switch until := oldest.Add(s.GroupWait); {
	case alone && s.Rate.Most != 1:
		return turn{most: 1}, nil
	case alone:
		return turn{most: mostGathered}, nil
	case until.After(now) && !full:
		return turn{wait: until.Sub(now)}, nil
	}
	return turn{most: mostGathered}, nil
}

// seed remembers what the channel took before this process began.
func (w *worker) seed(ctx context.Context, r Rate, now time.Time) error {
	sent, err := w.o.Records.Notices(ctx, runner.NoticeFilter{
		Channel: w.name, States: []runner.NoticeState{runner.NoticeSent}, Limit: min(r.Most*2, 1000),
	})
	if err != nil {
		return err
	}
	w.pace.seeded = true
	digests := map[string]bool{}
	for _, n := range slices.Backward(sent) {
		if strings.HasPrefix(n.Receipt, digestReceipt) {
			if digests[n.Receipt] {
				continue
			}
			digests[n.Receipt] = true
		}
		if now.Sub(n.EndedAt) < r.Within {
			w.pace.add(n.EndedAt)
		}
	}
	slices.SortFunc(w.pace.at, time.Time.Compare)
	return nil
}

// sent remembers that a message that told those notices was accepted.
func (w *worker) sent(told ...runner.Notice) {
	now := w.o.Now()
	w.pace.add(now)
	for _, n := range told {
		if n.Action == runner.NoticeOpen {
			w.opened = now
		}
		delete(w.diverted, n.ID)
	}
}
