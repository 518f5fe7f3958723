package reports

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// measurement is one computation of figures.
type measurement struct {
	plan   Plan
	from   Source
	window window
	now    time.Time
	// own are the incidents that several figures follow from, once they are read.
	own *[]runner.Incident
}

// Measure computes the figures of the given names, or all, over the plan's
// window before now, in the order of Names. A name that is none of these is an
// error.
func Measure(ctx context.Context, from Source, plan Plan, now time.Time, names ...string) ([]Figure, error) {
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("there is no figure %q", name)
		}
	}
	if plan.Zone == nil {
		plan.Zone = time.UTC
	}
	now = now.UTC()
	m := &measurement{plan: plan, from: from, window: window{now.Add(-plan.Window), now}, now: now}
	var list []Figure
	for _, name := range Names() {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		f, err := m.measure(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("compute %s: %w", name, err)
		}
		list = append(list, f)
	}
	return list, nil
}

func (m *measurement) measure(ctx context.Context, name string) (Figure, error) {
	switch name {
	case Uptime:
		return m.uptime(ctx)
	case ResponseTime:
		return m.latency(ctx, ResponseTime, "response time (p95)", m.plan.Response)
	case ErrorRate:
		return m.errorRate(ctx)
	case Throughput:
		return m.throughput(ctx)
	case Accuracy:
		return m.accuracy(ctx)
	case ModelLatency:
		return m.latency(ctx, ModelLatency, "model latency (p95)", m.plan.Model)
	case DriftDetection:
		return m.drift(ctx)
	case Retraining:
		return m.retraining(ctx)
	case MTTD:
		return m.detection(ctx)
	case MTTR:
		return m.resolution(ctx)
	case DeployFrequency:
		return m.deployFrequency(ctx)
	default:
		return m.changeFailure(ctx)
	}
}

// figure begins a figure.
func (m *measurement) figure(name, title string, aim Aim) Figure {
	return Figure{Name: name, Title: title, Aim: aim, Verdict: NoSource, Text: "-", Coverage: -1, From: m.window.from, Until: m.window.until}
}
