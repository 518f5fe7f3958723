package system

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	averages "github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
)

// gopsutil measures the real host. It is the only place that knows the
// library.
type gopsutil struct{}

func (gopsutil) processor(ctx context.Context, over time.Duration) (processor, error) {
	before, err := processorTimes(ctx)
	if err != nil {
		return processor{}, err
	}
	timer := time.NewTimer(over)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return processor{}, context.Cause(ctx)
	}
	after, err := processorTimes(ctx)
	if err != nil {
		return processor{}, err
	}
	return between(before, after)
}

func processorTimes(ctx context.Context) (cpu.TimesStat, error) {
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil {
		return cpu.TimesStat{}, fmt.Errorf("read processor times: %w", err)
	}
	if len(times) != 1 {
		return cpu.TimesStat{}, errors.New("read processor times: no answer")
	}
	return times[0], nil
}

// between computes shares from two readings of /proc/stat (proc(5)), which
// counts time for guests twice, under guest and under user. The counters of
// idle and iowait may step back a little.
func between(before, after cpu.TimesStat) (processor, error) {
	sum := func(t cpu.TimesStat) float64 {
		return t.User + t.Nice + t.System + t.Idle + t.Iowait + t.Irq + t.Softirq + t.Steal
	}
	total := sum(after) - sum(before)
	if total <= 0 {
		return processor{}, errors.New("read processor times: the counters did not move")
	}
	share := func(before, after float64) float64 { return 100 * min(max(after-before, 0)/total, 1) }
	idle := share(before.Idle+before.Iowait, after.Idle+after.Iowait)
	return processor{busy: 100 - idle, iowait: share(before.Iowait, after.Iowait), steal: share(before.Steal, after.Steal)}, nil
}

func (gopsutil) memory(ctx context.Context) (memory, error) {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return memory{}, fmt.Errorf("read memory: %w", err)
	}
	if m.Total == 0 || m.Available == 0 {
		return memory{}, errors.New("read memory: /proc/meminfo does not tell what is available")
	}
	// Not available is the honest measure of use: caches can be given back.
	used := 100 * float64(m.Total-min(m.Available, m.Total)) / float64(m.Total)
	return memory{usedPercent: used, available: m.Available}, nil
}

func (gopsutil) swap(ctx context.Context) (percent float64, total uint64, err error) {
	s, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("read swap: %w", err)
	}
	return s.UsedPercent, s.Total, nil
}

func (gopsutil) load(ctx context.Context) (load, error) {
	l, err := averages.AvgWithContext(ctx)
	if err != nil {
		return load{}, fmt.Errorf("read load average: %w", err)
	}
	return load{one: l.Load1, five: l.Load5, fifteen: l.Load15}, nil
}

func (gopsutil) mounts(ctx context.Context) ([]mount, error) {
	// By itself the library would list the mounts of process 1, which may live
	// in another mount namespace.
	ctx = context.WithValue(ctx, common.EnvKey, common.EnvMap{"HOST_PROC_MOUNTINFO": "/proc/self/mountinfo"})
	partitions, err := disk.PartitionsWithContext(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	out := make([]mount, len(partitions))
	for i, p := range partitions {
		out[i] = mount{path: p.Mountpoint, fsType: p.Fstype, device: p.Device}
	}
	return out, nil
}

func (gopsutil) space(ctx context.Context, path string) (space, error) {
	u, err := disk.UsageWithContext(ctx, path)
	if err != nil {
		return space{}, fmt.Errorf("ask %s for its space: %w", path, err)
	}
	return space{usedPercent: u.UsedPercent, free: u.Free, total: u.Total, inodes: u.InodesTotal, inodePercent: u.InodesUsedPercent}, nil
}
