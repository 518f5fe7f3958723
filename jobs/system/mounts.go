package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dustin/go-humanize"
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
	slices.SortFunc(all, func(a, b mount) int {
		if len(a.path) != len(b.path) {
			return len(a.path) - len(b.path)
		}
		return strings.Compare(a.path, b.path)
	})
	seen := map[string]bool{}
	var out []mount
	for _, m := range all {
		named := matches(p.options.Mounts, m.path)
		switch {
		case matches(p.options.Exclude, m.path),
			len(p.options.Mounts) > 0 && !named,
			len(p.options.Mounts) == 0 && slices.Contains(ignored, m.fsType),
			strings.HasPrefix(m.device, "/") && seen[m.device] && !named,
			m.fsType == "overlay" && m.path != "/" && !named:
			continue
		}
		seen[m.device] = true
		if !slices.ContainsFunc(out, func(o mount) bool { return o.path == m.path }) {
			out = append(out, m)
		}
	}
	return out
}

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := doublestar.Match(p, path)
		return ok && err == nil
	})
}

// disks judges every wanted mount. It asks them all at once, so that one dead
// share costs mount_timeout and not the sum.
func (p *probe) disks(ctx context.Context, r *report) error {
	all, err := p.measure.mounts(ctx)
	if err != nil {
		return err
	}
	mounts := p.wanted(all)
	if len(mounts) == 0 {
		return errors.New("no mount is left to measure; look at `mounts` and `exclude`")
	}
	answers := make([]chan answer, len(mounts))
	for i, m := range mounts {
		answers[i] = make(chan answer, 1)
		// A dead share blocks the system call for good; the goroutine is left
		// behind and ends when the share answers or the process does.
		go func() {
			s, err := p.measure.space(ctx, m.path)
			answers[i] <- answer{s, err}
		}()
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
				p.silent(r, m)
			}
			continue
		}
		select {
		case a := <-answers[i]:
			p.judgeMount(r, m, a)
		case <-deadline.C:
			expired = true
			p.silent(r, m)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

type answer struct {
	space space
	err   error
}

func (p *probe) silent(r *report, m mount) {
	r.critical("disk:"+m.path, fmt.Sprintf("%s (%s) does not answer within %s", m.path, m.fsType, p.options.MountTimeout))
}

func (p *probe) judgeMount(r *report, m mount, a answer) {
	if a.err != nil {
		r.unknown("disk:"+m.path, "the space of "+m.path, a.err)
		return
	}
	if a.space.total == 0 {
		return
	}
	key := strings.ReplaceAll(strings.Trim(m.path, "/"), "/", ".")
	if key == "" {
		key = "root"
	}
	key = valueKey(key)
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

// valueKey turns a path into a legal part of a value's name.
func valueKey(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '_'
	}, s)
}
