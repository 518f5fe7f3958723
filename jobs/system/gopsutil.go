package system

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	averages "github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
)

// gopsutil measures the real host. It is the only place that knows the
// library.
type gopsutil struct{}

func (gopsutil) cpu(ctx context.Context, over time.Duration) (float64, error) {
	percents, err := cpu.PercentWithContext(ctx, over, false)
	if err != nil {
		return 0, fmt.Errorf("read processor times: %w", err)
	}
	if len(percents) != 1 {
		return 0, errors.New("read processor times: no answer")
	}
	return percents[0], nil
}

func (gopsutil) memory(ctx context.Context) (memory, error) {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return memory{}, fmt.Errorf("read memory: %w", err)
	}
	if m.Total == 0 {
		return memory{}, errors.New("read memory: the total is 0")
	}
	s, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		return memory{}, fmt.Errorf("read swap: %w", err)
	}
	// Not available is the honest measure of use: caches can be given back.
	used := 100 * float64(m.Total-min(m.Available, m.Total)) / float64(m.Total)
	return memory{usedPercent: used, available: m.Available, swapPercent: s.UsedPercent, swapTotal: s.Total}, nil
}

func (gopsutil) load(ctx context.Context) (load, error) {
	l, err := averages.AvgWithContext(ctx)
	if err != nil {
		return load{}, fmt.Errorf("read load average: %w", err)
	}
	return load{one: l.Load1, five: l.Load5, fifteen: l.Load15}, nil
}

func (gopsutil) mounts(ctx context.Context) ([]mount, error) {
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
