package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// Place is a folder that matters, and for what.
type Place struct{ Path, What string }

// Mount is a mounted file system.
type Mount struct {
	Path, Type, Device string
	// ReadOnly tells that nothing can be written; Remounted that the kernel made
	// it so, which it does after errors.
	ReadOnly, Remounted bool
	// Holds says what of upkeep lies there.
	Holds []string
	Space
	UsedPercent, InodesPercent float64
	// Error is why its room is not known.
	Error string `json:",omitempty"`
}

// mostMounts bounds what is read of a list of mounts.
const mostMounts = 10_000

// parseMounts reads /proc/PID/mountinfo (proc(5)).
func parseMounts(text string) ([]Mount, error) {
	var out []Mount
	for row := range strings.Lines(text) {
		before, after, found := strings.Cut(strings.TrimSpace(row), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		const path, options, least = 4, 5, 6
		if !found || len(f) < least || len(g) < 2 || len(out) == mostMounts {
			continue
		}
		m := Mount{Path: unescaped(f[path]), Type: g[0], Device: unescaped(g[1])}
		super := ""
		if len(g) > 2 {
			super = g[2]
		}
		readOnly := slices.Contains(strings.Split(f[options], ","), "ro")
		m.Remounted = !readOnly && slices.Contains(strings.Split(super, ","), "ro")
		m.ReadOnly = readOnly || m.Remounted
		out = append(out, m)
	}
	if len(out) == 0 {
		return nil, errors.New("it lists no mounts")
	}
	return out, nil
}

// unescaped undoes the escapes of mountinfo: \040 is a blank.
func unescaped(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		const digits = 3
		if s[i] == '\\' && i+digits < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) && s[i+1] < '4' {
			out.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += digits
			continue
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

func octal(c byte) bool { return c >= '0' && c <= '7' }

// formless are types of file systems whose room says nothing about the machine.
func formless(kind string) bool {
	switch kind {
	case "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "erofs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fusectl",
		"hugetlbfs", "iso9660", "mqueue", "nsfs", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs", "udf":
		return true
	}
	return strings.HasPrefix(kind, "fuse.snapfuse")
}

// relevant chooses the mounts that matter: those of places, and every real file
// system once.
func relevant(all []Mount, places []Place) []Mount {
	holds := map[string][]string{}
	for _, p := range places {
		if m, ok := mountOf(all, p.Path); ok && !slices.Contains(holds[m.Path], p.What) {
			holds[m.Path] = append(holds[m.Path], p.What)
		}
	}
	slices.SortStableFunc(all, func(a, b Mount) int { return cmp.Or(len(a.Path)-len(b.Path), strings.Compare(a.Path, b.Path)) })
	seen := map[string]bool{}
	var out []Mount
	for i, m := range all {
		m.Holds = holds[m.Path]
		hidden := slices.ContainsFunc(all[i+1:], func(o Mount) bool { return o.Path == m.Path })
		again := strings.HasPrefix(m.Device, "/") && seen[m.Device] || m.Type == "overlay" && m.Path != "/"
		if hidden || len(m.Holds) == 0 && (formless(m.Type) || again) {
			continue
		}
		seen[m.Device] = true
		out = append(out, m)
	}
	return out
}

// mountOf finds the mount on which a path lies.
func mountOf(all []Mount, at string) (Mount, bool) {
	found, ok := Mount{}, false
	for _, m := range all {
		inside := at == m.Path || strings.HasPrefix(at, strings.TrimSuffix(m.Path, "/")+"/")
		// Of two mounts at one place the later one covers the other.
		if inside && (!ok || len(m.Path) >= len(found.Path)) {
			found, ok = m, true
		}
	}
	return found, ok
}

// mountPatience is how long one mount may take to answer.
const mountPatience = 3 * time.Second

// Disks returns the step that looks at the file systems: all real ones, and
// those on which the places lie.
func (h Host) Disks(places ...Place) Step {
	return Step{Name: "disks", Title: "disks, inodes and mounts", Look: func(ctx context.Context) (Found, error) {
		text, err := h.read("proc/self/mountinfo")
		if err != nil {
			return Found{}, err
		}
		all, err := parseMounts(text)
		if err != nil {
			return Found{}, fmt.Errorf("read /proc/self/mountinfo: %w", err)
		}
		list := relevant(all, resolved(places))
		spaces, errs := each(ctx, mountPatience, list, func(_ context.Context, m Mount) (Space, error) { return h.Space(m.Path) })
		f := Found{Files: []File{{Name: "mountinfo", Content: text}}}
		fullest := 0.0
		for i := range list {
			m := &list[i]
			m.Space = spaces[i]
			if errs[i] != nil {
				m.Error = line(errs[i].Error())
			}
			m.UsedPercent, m.InodesPercent = m.percent()
			m.UsedPercent, m.InodesPercent = round(m.UsedPercent), round(m.InodesPercent)
			fullest = max(fullest, m.UsedPercent)
			f.Lines = append(f.Lines, m.line())
			f.Findings = append(f.Findings, m.judge()...)
		}
		f.Facts, f.Summary = list, fmt.Sprintf("%d file systems, the fullest at %.0f %%", len(list), fullest)
		return f, nil
	}}
}

// resolved follows links in the places, as far as they exist.
func resolved(places []Place) []Place {
	out := slices.Clone(places)
	for i := range out {
		for at := filepath.Clean(out[i].Path); ; at = filepath.Dir(at) {
			whole, err := filepath.EvalSymlinks(at)
			if err == nil {
				rest, _ := filepath.Rel(at, filepath.Clean(out[i].Path))
				out[i].Path = filepath.Join(whole, rest)
				break
			}
			if at == "/" || at == "." {
				break
			}
		}
	}
	return out
}

func (m Mount) line() string {
	flags := ""
	if m.ReadOnly {
		flags = ", read-only"
	}
	if len(m.Holds) > 0 {
		flags += ", holds " + strings.Join(m.Holds, ", ")
	}
	if m.Error != "" {
		return fmt.Sprintf("%s (%s): %s%s", m.Path, m.Type, m.Error, flags)
	}
	return fmt.Sprintf("%s (%s): %.0f %% of %s used, %s free, %.0f %% of inodes%s", m.Path, m.Type, m.UsedPercent, humanize.IBytes(m.Total), humanize.IBytes(m.Free), m.InodesPercent, flags)
}

// judge says what is wrong with a mount.
func (m Mount) judge() []Finding {
	var out []Finding
	add := func(id string, s jobs.Severity, text, means, next string) {
		out = append(out, Finding{ID: jobs.FindingIDFrom(id + ":" + m.Path), Severity: s, Text: text, Means: means, Next: next})
	}
	holds := ""
	if len(m.Holds) > 0 {
		holds = ", which holds " + strings.Join(m.Holds, ", ")
	}
	at := quoted(m.Path)
	if m.Error != "" {
		add("disk", jobs.Critical, fmt.Sprintf("%s (%s)%s: %s", m.Path, m.Type, holds, m.Error), "whoever touches it hangs or fails", "findmnt "+at)
		return out
	}
	if s, limit := level(m.UsedPercent); s != "" && m.Total > 0 && !(m.ReadOnly && len(m.Holds) == 0) {
		add("disk", s, fmt.Sprintf("%s%s is %.1f %% full, limit %d %%, %s free", m.Path, holds, m.UsedPercent, limit, humanize.IBytes(m.Free)),
			"when it is full, databases stop and backups fail", "du -xhd 2 "+at+" 2>/dev/null | sort -rh | head -20")
	}
	if s, limit := level(m.InodesPercent); s != "" {
		add("inodes", s, fmt.Sprintf("%s%s uses %.1f %% of its inodes, limit %d %%", m.Path, holds, m.InodesPercent, limit),
			"no file can be made when they are used up, whatever room there is", "du -x --inodes -d 2 "+at+" 2>/dev/null | sort -rn | head -20")
	}
	switch {
	case m.Remounted:
		add("readonly", jobs.Critical, fmt.Sprintf("%s (%s)%s was made read-only by the kernel", m.Path, m.Device, holds), "the file system or its disk has errors", "dmesg --level err,warn | tail -50")
	case m.ReadOnly && len(m.Holds) > 0 && !slices.Equal(m.Holds, []string{"the root folder"}):
		add("readonly", jobs.Critical, fmt.Sprintf("%s (%s)%s is mounted read-only", m.Path, m.Device, holds), "nothing of that can be written", "findmnt -o TARGET,OPTIONS "+at)
	}
	return out
}
