package system

import (
	"context"
	"errors"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// FakeHost is a host whose answers a test decides; an empty Err map means that
// every question is answered.
type FakeHost struct {
	CPU, Memory, Swap float64
	Mounts            []FakeMount
	Err               map[string]string
	// Hangs names the mount that never answers.
	Hangs string
}

// FakeMount is one mount of a FakeHost.
type FakeMount struct {
	Path, Type, Device string
	Disk, Inodes       float64
}

// NewProbe returns the probe over a fake host.
func NewProbe(o Options, h FakeHost) jobs.Job { return &probe{options: o, measure: fake{h}} }

type fake struct{ host FakeHost }

func (f fake) err(what string) error {
	if text, ok := f.host.Err[what]; ok {
		return errors.New(text)
	}
	return nil
}

func (f fake) cpu(ctx context.Context, over time.Duration) (float64, error) {
	select {
	case <-time.After(over):
		return f.host.CPU, f.err("cpu")
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (f fake) memory(context.Context) (memory, error) {
	return memory{usedPercent: f.host.Memory, available: 1 << 30, swapPercent: f.host.Swap, swapTotal: 1}, f.err("memory")
}

func (f fake) load(context.Context) (load, error) { return load{1, 2, 3}, f.err("load") }

func (f fake) mounts(context.Context) ([]mount, error) {
	var out []mount
	for _, m := range f.host.Mounts {
		out = append(out, mount{path: m.Path, fsType: m.Type, device: m.Device})
	}
	return out, f.err("mounts")
}

func (f fake) space(ctx context.Context, path string) (space, error) {
	if path == f.host.Hangs {
		<-ctx.Done()
		return space{}, context.Cause(ctx)
	}
	for _, m := range f.host.Mounts {
		if m.Path == path {
			return space{usedPercent: m.Disk, inodePercent: m.Inodes, free: 1 << 30, total: 1 << 40, inodes: 1000}, f.err("space")
		}
	}
	return space{}, errors.New("no such mount")
}
