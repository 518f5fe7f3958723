package web_test

import (
	"context"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
)

var _ web.Facts = (*fake)(nil)

func (f *fake) Observe(_ context.Context, samples ...runner.Sample) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.samples = append(f.samples, samples...)
	return f.fail
}

func (f *fake) Series(_ context.Context, prefix string) ([]runner.Series, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []runner.Series
	for _, m := range f.samples {
		if strings.HasPrefix(m.Series, prefix) {
			list = append(list, runner.Series{Name: m.Series, First: m.At, Last: m.At, Value: m.Value})
		}
	}
	return list, f.fail
}

func (f *fake) Samples(_ context.Context, filter runner.SampleFilter) ([]runner.Stretch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []runner.Stretch
	for _, m := range f.samples {
		if m.Series == filter.Series {
			list = append(list, runner.Stretch{At: m.At, Count: 1, Sum: m.Value, Low: m.Value, High: m.Value})
		}
	}
	return list, f.fail
}

func (f *fake) Record(_ context.Context, happenings ...runner.Happening) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, happenings...)
	return f.fail
}

func (f *fake) Happenings(_ context.Context, filter runner.HappeningFilter) ([]runner.Happening, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []runner.Happening
	for _, h := range f.events {
		if len(filter.Kinds) == 0 || slices.Contains(filter.Kinds, h.Kind) {
			list = append(list, h)
		}
	}
	return list, f.fail
}
