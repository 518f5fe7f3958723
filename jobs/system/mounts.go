package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// ignored are the types of file systems whose fill level says nothing about
// the host: kernel interfaces, images that are always full, and memory.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var ignored = []string{
	"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
	"erofs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs", "proc", "pstore", "ramfs",
	"rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs", "udf",
}

// wanted chooses among the mounts by the options, one for each device, since
// bind mounts show the same space again; the shortest path stands for all.
func (p *probe) wanted(all []mount) []mount {
	slices.SortStableFunc(all, func(a, b mount) int {
		return cmp.Or(cmp.Compare(len(a.path), len(b.path)), strings.Compare(a.path, b.path))
	})
	seen := map[string]bool{}
	var out []mount
	for _, m := range all {
		if matches(p.options.Exclude, m.path) || len(p.options.Mounts) > 0 && !matches(p.options.Mounts, m.path) {
			continue
		}
		if !p.named(m.path) && (slices.Contains(ignored, m.fsType) ||
			strings.HasPrefix(m.device, "/") && seen[m.device] || m.fsType == "overlay" && m.path != "/") {
			continue
		}
		seen[m.device] = true
		if !contains(out, m.path) {
			out = append(out, m)
		}
	}
	return out
}

// named tells whether the options name this very path.
func (p *probe) named(path string) bool { return slices.Contains(p.options.Mounts, path) }

func contains(mounts []mount, path string) bool {
	return slices.ContainsFunc(mounts, func(m mount) bool { return m.path == path })
}

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := doublestar.Match(p, path)
		return p == path || ok && err == nil
	})
}

// disks judges every wanted mount, and those that should be there and are not.
// It asks them all at once, so that one dead share costs mount_timeout and not
// the sum.
func (p *probe) disks(ctx context.Context, r *report) error {
	all, err := p.measure.mounts(ctx)
	if err != nil {
		return err
	}
	mounts := p.wanted(all)
	for _, path := range p.options.Mounts {
		if !strings.ContainsAny(path, `*?[{\`) && !contains(mounts, path) && !matches(p.options.Exclude, path) {
			r.critical("disk:"+path, path+" is not mounted")
		}
	}
	if len(mounts) == 0 {
		return errors.New("no mount is left to measure; look at `mounts` and `exclude`")
	}
	answers := make([]<-chan answer, len(mounts))
	for i, m := range mounts {
		answers[i] = p.silent.ask(m.path, func() (space, error) { return p.measure.space(ctx, m.path) })
	}
	deadline := time.NewTimer(p.options.MountTimeout.Std())
	defer deadline.Stop()
	expired := false
	for i, m := range mounts {
		if expired {
			select {
			case a := <-answers[i]:
				p.judgeMount(r, m, a)
			default:
				p.noAnswer(r, m)
			}
			continue
		}
		select {
		case a := <-answers[i]:
			p.judgeMount(r, m, a)
		case <-deadline.C:
			expired = true
			p.noAnswer(r, m)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (p *probe) noAnswer(r *report, m mount) {
	r.critical("disk:"+m.path, fmt.Sprintf("%s (%s) does not answer within %s", m.path, m.fsType, p.options.MountTimeout))
}

func (p *probe) judgeMount(r *report, m mount, a answer) {
	switch {
	case errors.Is(a.err, errSilent):
		r.critical("disk:"+m.path, fmt.Sprintf("%s (%s) has not answered since an earlier check", m.path, m.fsType))
		return
	case a.err != nil:
		r.unknown("disk:"+m.path, "the space of "+m.path, a.err)
		return
	case a.space.total == 0:
		if p.named(m.path) {
			r.unknown("disk:"+m.path, "the space of "+m.path, fmt.Errorf("a file system of type %s tells no size", m.fsType))
		}
		return
	}
	key := jobs.NameFrom(strings.ReplaceAll(strings.Trim(m.path, "/"), "/", "."))
	if key == "" {
		key = "root"
	}
	what := fmt.Sprintf("disk %s (%s free)", m.path, humanize.IBytes(a.space.free))
	r.judge("disk:"+m.path, what, a.space.usedPercent, p.options.Disk)
	r.values["disk_percent."+key] = round(a.space.usedPercent)
	r.values["disk_free_bytes."+key] = float64(a.space.free)
	r.values["disk_percent"] = max(r.values["disk_percent"], round(a.space.usedPercent))
	if a.space.inodes > 0 {
		r.judge("inodes:"+m.path, "inodes of "+m.path, a.space.inodePercent, p.options.Inodes)
		r.values["inode_percent."+key] = round(a.space.inodePercent)
		r.values["inode_percent"] = max(r.values["inode_percent"], round(a.space.inodePercent))
	}
}
