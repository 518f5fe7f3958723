package health

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// Bridge is the longest time without an answer, at least, over which the
	// answers before a restart count together with those after it.
	Bridge = 2 * time.Minute
	// mostRecalled is how many answers of a check are looked at.
	mostRecalled = 500
)

// Bridged is the longest time between two answers of a check that is asked so
// often over which they count as following each other: an answer is stale after
// twice the interval.
func Bridged(every time.Duration) time.Duration { return max(2*every, Bridge) }

// rememberAnswers counts the answers before this process that followed each
// other until now, so that a restart does not begin to count anew. The caller
// holds the mutex.
func (m *Monitor) rememberAnswers(ctx context.Context, w *watch, now time.Time) error {
	c := w.check
	if c.Kind == KindHeartbeat {
		return nil // what it was told is on record
	}
	since := now.Add(-c.WorstDetection() - time.Duration(c.OKAfter+1)*Bridged(c.Every))
	answers, err := Answers(ctx, m.o.Past, c.Name, since, now)
	if err != nil {
		return err
	}
	latest := now
	first := len(answers)
	for first > 0 && latest.Sub(answers[first-1].At) <= Bridged(c.Every) {
		first--
		latest = answers[first].At
	}
	for _, a := range answers[first:] {
		if a.At.Before(w.standing.since) {
			continue // the incident on record knows
		}
		w.standing.take(Outcome{Health: a.Health, Down: a.Health == runner.HealthCritical, At: a.At}, c.FailAfter, c.OKAfter)
	}
	return nil
}

// Answer is what is on record of one answer.
type Answer struct {
	At     time.Time
	Health runner.Health
	// ErrorKind is one word for why there was none, as in a report.
	ErrorKind string
}

// errorKinds are the kinds of errors in an order that is on record, from 1.
func errorKinds() []string {
	return []string{"", errorDNS, errorConnect, errorTLS, errorAuth, errorTimeout, errorStatus, errorBody, errorInternal}
}

// badValue is how an answer that is not healthy stands on record.
func badValue(o Outcome) float64 {
	return float64(rank(o.Health) + 10*max(0, slices.Index(errorKinds(), o.ErrorKind)))
}

// badAnswer reads what badValue wrote; ok is false for anything else.
func badAnswer(s runner.Stretch) (a Answer, ok bool) {
	health, kind := int(s.High)%10, int(s.High)/10
	if health < 1 || health >= len(ranked()) || kind >= len(errorKinds()) {
		return a, false
	}
	return Answer{At: s.At, Health: ranked()[health], ErrorKind: errorKinds()[kind]}, true
}

// Answers returns the answers of a check on record in [since, until), the latest
// 500, in the order of time.
func Answers(ctx context.Context, past runner.SampleReader, check string, since, until time.Time) ([]Answer, error) {
	read := func(what string) ([]runner.Stretch, error) {
		list, err := past.Samples(ctx, runner.SampleFilter{Series: Series(check, what), Since: since.UTC(), Until: until.UTC(), Limit: mostRecalled})
		if err != nil {
			return nil, fmt.Errorf("read the answers of %s: %w", check, err)
		}
		return slices.DeleteFunc(list, func(s runner.Stretch) bool { return s.Length > 0 }), nil
	}
	bad, err := read(seriesBad)
	if err != nil {
		return nil, err
	}
	up, err := read("up")
	if err != nil {
		return nil, err
	}
	var list []Answer
	for _, s := range bad {
		if a, ok := badAnswer(s); ok {
			list = append(list, a)
		}
	}
	seen := len(list)
	for _, s := range up {
		if !slices.ContainsFunc(list[:seen], func(a Answer) bool { return a.At.Equal(s.At) }) {
			list = append(list, Answer{At: s.At, Health: runner.Healthy})
		}
	}
	slices.SortFunc(list, func(a, b Answer) int { return a.At.Compare(b.At) })
	return list, nil
}
