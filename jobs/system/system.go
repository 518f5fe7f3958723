// Package system is the probe of this host's own resources: processor, memory,
// swap, and the space and inodes of every mounted file system.
package system

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Measures this host: processor over a span of time, memory, swap, and the space and inodes of every mount.

Each number is judged against two limits: above ` + "`warn`" + ` it is a warning, above
` + "`crit`" + ` it is critical; a limit of 100% is never broken. What cannot be measured is a
warning of its own: unknown is not healthy.

The processor's use is the mean over ` + "`cpu_over`" + ` and all processors, without the time
that was spent waiting for disks. Memory in use is what is not available: caches can be
given back. A mount is as full as df says for ordinary users.

Pseudo file systems (proc, sysfs, cgroup and their like), read-only images
(squashfs, iso9660), tmpfs, and further mounts of the same device are left out unless
` + "`mounts`" + ` names them by their exact path. A mount so named that is not mounted is
critical, and so is one that does not answer within ` + "`mount_timeout`" + `, such as a dead
network share.

Values: cpu_percent, cpu_iowait_percent, cpu_steal_percent, cpus, load1, load5,
load15, memory_percent, available_memory_bytes, swap_percent (where there is
swap), disk_percent (the fullest mount), inode_percent, and for each mount
disk_percent.MOUNT, disk_free_bytes.MOUNT and inode_percent.MOUNT, where MOUNT is
the path with dots for slashes ("root" for /).`

// Limits are the two levels of one measurement.
type Limits struct {
	Warn unit.Share `yaml:"warn" doc:"Above this share it is a warning." example:"80%"`
	Crit unit.Share `yaml:"crit" doc:"Above this share it is critical." example:"95%"`
}

// Options configure the probe. The default limits are 80 % and 95 %, except
// for swap, which is judged only when it is nearly full.
type Options struct {
	CPU          Limits        `yaml:"cpu" limits:"cpu_percent" doc:"Limits of the processor's use, averaged over all cores and over cpu_over."`
	CPUOver      unit.Duration `yaml:"cpu_over" doc:"The span over which the processor's use is measured; the probe takes that long."`
	Memory       Limits        `yaml:"memory" limits:"memory_percent" doc:"Limits of the memory that is not available."`
	Swap         Limits        `yaml:"swap" limits:"swap_percent" doc:"Limits of the swap space in use."`
	Disk         Limits        `yaml:"disk" limits:"disk_percent" doc:"Limits of the used space of each mount, as df counts it for ordinary users."`
	Inodes       Limits        `yaml:"inodes" limits:"inode_percent" doc:"Limits of the used inodes of each mount."`
	Mounts       []string      `yaml:"mounts" doc:"Only these mount points (patterns with * and ** allowed); empty means all. One without a pattern must be mounted." example:"[/, /srv/**]"`
	Exclude      []string      `yaml:"exclude" doc:"Leave these mount points out (patterns with * and ** allowed)." example:"[/mnt/usb/**]"`
	MountTimeout unit.Duration `yaml:"mount_timeout" doc:"How long one mount may take to answer."`
}

// Kind returns the kind.
func Kind() jobs.Kind {
	limits := Limits{Warn: 80, Crit: 95}
	defaults := Options{
		CPU: limits, Memory: limits, Disk: limits, Inodes: limits,
		Swap:         Limits{Warn: 90, Crit: 100},
		CPUOver:      unit.Duration(5 * time.Second),
		MountTimeout: unit.Duration(5 * time.Second),
	}
	silent := newSilence()
	return jobs.Define("system", doc, defaults, func(o Options, _ jobs.Deps) (jobs.Job, error) {
		return &probe{options: o, measure: gopsutil{}, silent: silent}, nil
	}).AsProbe()
}

// Validate reports limits that contradict each other and bad patterns.
func (o *Options) Validate() error {
	var errs []error
	for _, l := range []struct {
		name string
		Limits
	}{{"cpu", o.CPU}, {"memory", o.Memory}, {"swap", o.Swap}, {"disk", o.Disk}, {"inodes", o.Inodes}} {
		if l.Warn > l.Crit {
			errs = append(errs, jobs.Fieldf(l.name+".warn", "%s is above crit, %s", l.Warn, l.Crit))
		}
	}
	if o.CPUOver.Std() < 10*time.Millisecond || o.CPUOver.Std() > 10*time.Minute {
		errs = append(errs, jobs.Fieldf("cpu_over", "%s is out of range: use 10ms to 10m", o.CPUOver))
	}
	if o.MountTimeout <= 0 {
		errs = append(errs, jobs.Fieldf("mount_timeout", "it must be above 0"))
	}
	for _, list := range []struct {
		name     string
		patterns []string
	}{{"mounts", o.Mounts}, {"exclude", o.Exclude}} {
		for i, p := range list.patterns {
			if !doublestar.ValidatePattern(p) || !strings.HasPrefix(p, "/") {
				errs = append(errs, jobs.Fieldf(fmt.Sprintf("%s[%d]", list.name, i), "%q is not a pattern of an absolute path", p))
			}
		}
	}
	return errors.Join(errs...)
}

// measurer is the host as the probe sees it.
type measurer interface {
	// processor blocks for over and returns what the processors did meanwhile.
	processor(ctx context.Context, over time.Duration) (processor, error)
	memory(ctx context.Context) (memory, error)
	// swap returns the share in use, 0 to 100, and the size in bytes.
	swap(ctx context.Context) (percent float64, total uint64, err error)
	load(ctx context.Context) (load, error)
	mounts(ctx context.Context) ([]mount, error)
	// space asks one mount, which may hang for a network share.
	space(ctx context.Context, path string) (space, error)
}

// processor holds shares of time, 0 to 100, over all processors. busy holds
// steal: time in which the host of a virtual machine gave it to others.
type processor struct{ busy, iowait, steal float64 }

type memory struct {
	usedPercent float64
	available   uint64
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
	silent  *silence
}

// Run measures once.
func (p *probe) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("measure the host: %w", err)
	}
	r := &report{values: map[string]float64{"cpus": float64(runtime.NumCPU())}}
	answered := p.processor(ctx, r)
	answered = p.memory(ctx, r) || answered
	if err := p.disks(ctx, r); err != nil {
		r.unknown("disk", "the space of the mounted file systems", err)
	} else {
		answered = true
	}
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("measure the host: %w", err)
	}
	if !answered {
		return jobs.Result{}, jobs.WithHint(errors.New("nothing on this host could be measured: "+jobs.Headline(r.findings)), "is /proc mounted and readable?")
	}
	for _, line := range r.lines {
		env.Printf("%s", line)
	}
	return r.result(), nil
}

// processor tells whether anything was measured.
func (p *probe) processor(ctx context.Context, r *report) (answered bool) {
	used, err := p.measure.processor(ctx, p.options.CPUOver.Std())
	if err != nil {
		r.unknown("cpu", "the processor's use", err)
	} else {
		answered = true
		r.judge("cpu", "CPU over "+p.options.CPUOver.String(), used.busy, p.options.CPU)
		r.values["cpu_percent"] = round(used.busy)
		r.values["cpu_iowait_percent"], r.values["cpu_steal_percent"] = round(used.iowait), round(used.steal)
	}
	l, err := p.measure.load(ctx)
	if err != nil {
		r.unknown("load", "the load average", err)
		return answered
	}
	r.values["load1"], r.values["load5"], r.values["load15"] = l.one, l.five, l.fifteen
	return true
}

// memory tells whether anything was measured.
func (p *probe) memory(ctx context.Context, r *report) (answered bool) {
	m, err := p.measure.memory(ctx)
	if err != nil {
		r.unknown("memory", "the memory in use", err)
	} else {
		answered = true
		r.judge("memory", fmt.Sprintf("memory (%s available)", humanize.IBytes(m.available)), m.usedPercent, p.options.Memory)
		r.values["memory_percent"] = round(m.usedPercent)
		r.values["available_memory_bytes"] = float64(m.available)
	}
	percent, total, err := p.measure.swap(ctx)
	switch {
	case err != nil:
		r.unknown("swap", "the swap space in use", err)
		return answered
	case total > 0:
		r.judge("swap", "swap", percent, p.options.Swap)
		r.values["swap_percent"] = round(percent)
	}
	return true
}
