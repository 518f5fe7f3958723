// Package system is the probe of this host's own resources: processor, memory,
// swap, and the space and inodes of every mounted file system.
package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Measures this host: processor over a span of time, memory, swap, and the space and inodes of every mount.

Each number is judged against two limits: above ` + "`warn`" + ` it is a warning, above
` + "`crit`" + ` it is critical. What cannot be measured is a warning of its own: unknown is
not healthy.

Pseudo file systems (proc, sysfs, cgroup and their like), read-only images
(squashfs, iso9660) and tmpfs are left out unless ` + "`mounts`" + ` names them. A mount that
does not answer within ` + "`mount_timeout`" + `, such as a dead network share, is critical.

Values: cpu_percent, memory_percent, swap_percent, available_memory_bytes,
load1, load5, load15, disk_percent (the fullest mount), inode_percent, and for
each mount disk_percent.MOUNT, disk_free_bytes.MOUNT and inode_percent.MOUNT,
where MOUNT is the path with dots for slashes ("root" for /).`

// Limits are the two levels of one measurement.
type Limits struct {
	Warn unit.Share `yaml:"warn" doc:"Above this share it is a warning." example:"80%"`
	Crit unit.Share `yaml:"crit" doc:"Above this share it is critical." example:"95%"`
}

// Options configure the probe. The default limits are 80 % and 95 %, except
// for swap, which is judged only when it is nearly full.
type Options struct {
	CPU          Limits        `yaml:"cpu" doc:"Limits of the processor's use, averaged over all cores and over cpu_over."`
	CPUOver      unit.Duration `yaml:"cpu_over" doc:"The span over which the processor's use is measured; the probe takes that long."`
	Memory       Limits        `yaml:"memory" doc:"Limits of the memory that is not available."`
	Swap         Limits        `yaml:"swap" doc:"Limits of the swap space in use."`
	Disk         Limits        `yaml:"disk" doc:"Limits of the used space of each mount, as df counts it for ordinary users."`
	Inodes       Limits        `yaml:"inodes" doc:"Limits of the used inodes of each mount."`
	Mounts       []string      `yaml:"mounts" doc:"Only these mount points (patterns with * and ** allowed); empty means all." example:"[/, /var/**]"`
	Exclude      []string      `yaml:"exclude" doc:"Leave these mount points out (patterns with * and ** allowed)." example:"[/mnt/usb/**]"`
	MountTimeout unit.Duration `yaml:"mount_timeout" doc:"How long one mount may take to answer."`
}

// Kind returns the kind.
func Kind() jobs.Kind {
	limits := Limits{Warn: 80, Crit: 95}
	defaults := Options{
		CPU: limits, Memory: limits, Disk: limits, Inodes: limits,
		Swap:         Limits{Warn: 90, Crit: 100},
		CPUOver:      unit.Duration(time.Second),
		MountTimeout: unit.Duration(5 * time.Second),
	}
	return jobs.Define("system", doc, defaults, func(o Options, _ jobs.Deps) (jobs.Job, error) {
		return &probe{options: o, measure: gopsutil{}}, nil
	}).AsProbe()
}

// Validate reports limits that contradict each other and bad patterns.
func (o *Options) Validate() error {
	var errs []error
	for name, l := range map[string]Limits{"cpu": o.CPU, "memory": o.Memory, "swap": o.Swap, "disk": o.Disk, "inodes": o.Inodes} {
		if l.Warn > l.Crit {
			errs = append(errs, jobs.Fieldf(name+".warn", "%s is above crit, %s", l.Warn, l.Crit))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if o.CPUOver.Std() < 10*time.Millisecond || o.CPUOver.Std() > 10*time.Minute {
		errs = append(errs, jobs.Fieldf("cpu_over", "%s is out of range: use 10ms to 10m", o.CPUOver))
	}
	if o.MountTimeout <= 0 {
		errs = append(errs, jobs.Fieldf("mount_timeout", "it must be above 0"))
	}
	for field, patterns := range map[string][]string{"mounts": o.Mounts, "exclude": o.Exclude} {
		for i, p := range patterns {
			if !doublestar.ValidatePattern(p) || !strings.HasPrefix(p, "/") {
				errs = append(errs, jobs.Fieldf(fmt.Sprintf("%s[%d]", field, i), "%q is not a pattern of an absolute path", p))
			}
		}
	}
	return errors.Join(errs...)
}

// measurer is the host as the probe sees it.
type measurer interface {
	// cpu blocks for over and returns the share of time, 0 to 100, in which
	// the processors were busy.
	cpu(ctx context.Context, over time.Duration) (float64, error)
	memory(ctx context.Context) (memory, error)
	load(ctx context.Context) (load, error)
	mounts(ctx context.Context) ([]mount, error)
	// space asks one mount, which may hang for a network share.
	space(ctx context.Context, path string) (space, error)
}

type memory struct {
	usedPercent, swapPercent float64
	available, swapTotal     uint64
}

type load struct{ one, five, fifteen float64 }

type mount struct{ path, fsType, device string }

type space struct {
	usedPercent, inodePercent float64
	free, total, inodes       uint64
}

type probe struct {
	options Options
	measure measurer
}

// Run measures once.
func (p *probe) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("measure the host: %w", err)
	}
	r := &report{values: map[string]float64{}}
	p.processor(ctx, r)
	p.ram(ctx, r)
	if err := p.disks(ctx, r); err != nil {
		r.unknown("disk", "the mounted file systems", err)
	}
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("measure the host: %w", err)
	}
	if len(r.values) == 0 {
		return jobs.Result{}, jobs.WithHint(errors.New("nothing on this host could be measured: "+r.findings[0].Text), "is /proc mounted and readable?")
	}
	for _, line := range r.lines {
		env.Printf("%s", line)
	}
	return r.result(), nil
}

func (p *probe) processor(ctx context.Context, r *report) {
	busy, err := p.measure.cpu(ctx, p.options.CPUOver.Std())
	if err != nil {
		r.unknown("cpu", "the processor's use", err)
	} else {
		r.judge("cpu", "CPU over "+p.options.CPUOver.String(), busy, p.options.CPU)
		r.values["cpu_percent"] = round(busy)
	}
	l, err := p.measure.load(ctx)
	if err != nil {
		r.unknown("load", "the load average", err)
		return
	}
	r.values["load1"], r.values["load5"], r.values["load15"] = l.one, l.five, l.fifteen
}

func (p *probe) ram(ctx context.Context, r *report) {
	m, err := p.measure.memory(ctx)
	if err != nil {
		r.unknown("memory", "the memory", err)
		return
	}
	r.judge("memory", "memory", m.usedPercent, p.options.Memory)
	r.values["memory_percent"] = round(m.usedPercent)
	r.values["available_memory_bytes"] = float64(m.available)
	if m.swapTotal > 0 {
		r.judge("swap", "swap", m.swapPercent, p.options.Swap)
		r.values["swap_percent"] = round(m.swapPercent)
	}
}
