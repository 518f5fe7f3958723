package system

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"

	"github.com/ghosteam/upkeep/jobs"
)

// FakeHost is a host whose answers a test decides; an empty Err map means that
// every question is answered.
type FakeHost struct {
	CPU, Memory, Swap float64
	Mounts            []FakeMount
	Err               map[string]string
	// Hangs names the mount that answers only when Release is closed; asked
	// counts the questions to it.
	Hangs   string
	Release chan struct{}
	Asked   *atomic.Int64
}

// FakeMount is one mount of a FakeHost.
type FakeMount struct {
	Path, Type, Device string
	Disk, Inodes       float64
	Sizeless           bool
}

// NewProbe returns the probe over a fake host.
func NewProbe(o Options, h FakeHost) jobs.Job { return NewProbes(h)(o) }

// NewProbes makes probes over one fake host in one process.
func NewProbes(h FakeHost) func(Options) jobs.Job {
	silent := newSilence()
	return func(o Options) jobs.Job { return &probe{options: o, measure: fake{h}, silent: silent} }
}

// Between computes busy, iowait and steal, in percent, from two readings of
// user, idle, iowait and steal.
func Between(before, after [4]float64) ([3]float64, error) {
	times := func(t [4]float64) cpu.TimesStat {
		return cpu.TimesStat{User: t[0], Idle: t[1], Iowait: t[2], Steal: t[3], Guest: t[0]}
	}
	p, err := between(times(before), times(after))
	return [3]float64{p.busy, p.iowait, p.steal}, err
}

type fake struct{ host FakeHost }

func (f fake) err(what string) error {
	if text, ok := f.host.Err[what]; ok {
		return errors.New(text)
	}
	return nil
}

func (f fake) processor(ctx context.Context, over time.Duration) (processor, error) {
	select {
	case <-time.After(over):
		return processor{busy: f.host.CPU}, f.err("cpu")
	case <-ctx.Done():
		return processor{}, context.Cause(ctx)
	}
}

func (f fake) memory(context.Context) (memory, error) {
	return memory{usedPercent: f.host.Memory, available: 1 << 30}, f.err("memory")
}

func (f fake) swap(context.Context) (float64, uint64, error) { return f.host.Swap, 1, f.err("swap") }

func (f fake) load(context.Context) (load, error) { return load{1, 2, 3}, f.err("load") }

func (f fake) mounts(context.Context) ([]mount, error) {
	var out []mount
	for _, m := range f.host.Mounts {
		out = append(out, mount{path: m.Path, fsType: m.Type, device: m.Device})
	}
	return out, f.err("mounts")
}

func (f fake) space(_ context.Context, path string) (space, error) {
	if path == f.host.Hangs {
		f.host.Asked.Add(1)
		<-f.host.Release
	}
	for _, m := range f.host.Mounts {
		if m.Path == path {
			s := space{usedPercent: m.Disk, inodePercent: m.Inodes, free: 1 << 30, total: 1 << 40, inodes: 1000}
			if m.Sizeless {
				s.total = 0
			}
			return s, f.err("space")
		}
	}
	return space{}, errors.New("no such mount")
}
