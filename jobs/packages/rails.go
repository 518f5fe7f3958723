package packages

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// remembered is how many runs are asked for a backup.
const remembered = 32

// choose reduces what could be upgraded to what policy and blocks allow.
func (u *upgrade) choose(all preview) (chosen, leftOut []change) {
	for _, c := range all.Changes {
		switch {
		case matches(u.options.Block, bare(c.Name)):
			leftOut = append(leftOut, c)
		case c.Old == "": // it comes along with what needs it
		case u.options.Policy == policySecurity && !u.secure(c):
			leftOut = append(leftOut, c)
		default:
			chosen = append(chosen, c)
		}
	}
	return chosen, leftOut
}

func (u *upgrade) secure(c change) bool {
	return slices.ContainsFunc(c.Origins, func(o string) bool { return matches(u.options.SecurityFrom, o) })
}

// bare is the name without an architecture.
func bare(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return name
}

// rails refuses a plan that does more than is allowed.
func (u *upgrade) rails(h host, p *plan) error {
	if len(p.Removed) > 0 {
		return jobs.WithHint(&jobs.RefusedError{
			Rail: "removals", Why: fmt.Sprintf("the upgrade would remove %s; nothing was installed", list(p.Removed)),
		}, "upgrade by hand with apt-get, or hold the packages that demand it (apt-mark hold)")
	}
	for _, c := range p.Changes {
		if matches(u.options.Block, bare(c.Name)) {
			return jobs.WithHint(&jobs.RefusedError{
				Rail: "block", Why: fmt.Sprintf("the upgrade would also change %s, which is blocked; nothing was installed", c),
			}, "block what needs it too, or no longer block it")
		}
	}
	if n := len(p.Changes); n > u.options.MaxPackages {
		return jobs.WithHint(&jobs.RefusedError{
			Rail: "max_packages", Why: fmt.Sprintf("would change %d packages, limit %d; nothing was installed", n, u.options.MaxPackages),
		}, "look with a dry run (upkeep run WORKFLOW.JOB --dry-run); if they may change, raise max_packages")
	}
	if len(p.Changes) == 0 {
		return nil
	}
	return u.space(h)
}

// backedUp refuses without a fresh backup.
func (u *upgrade) backedUp(ctx context.Context) error {
	if u.backup == nil {
		return nil
	}
	past, err := u.backup.Past(ctx, remembered)
	if err != nil {
		return fmt.Errorf("ask for backups of %s: %w", u.options.Backup, err)
	}
	why := "it has made none"
	if i := slices.IndexFunc(past, func(p jobs.Past) bool { return len(p.Result.Artifacts) > 0 }); i >= 0 {
		age := u.now().Sub(past[i].Finished)
		if age <= u.options.BackupWithin.Std() {
			return nil
		}
		why = fmt.Sprintf("its newest ended %s ago", age.Round(time.Minute))
	}
	return jobs.WithHint(&jobs.RefusedError{
		Rail: "requires_backup_within",
		Why:  fmt.Sprintf("a backup by %s within %s is required, %s; nothing was installed", u.options.Backup, u.options.BackupWithin, why),
	}, "make one: upkeep run "+u.options.Backup)
}

// space refuses when too little would be free after the download.
func (u *upgrade) space(h host) error {
	for _, folder := range []string{h.Downloads, h.Root} {
		var s syscall.Statfs_t
		if err := syscall.Statfs(folder, &s); err != nil {
			return fmt.Errorf("measure the free space of %s: %w", folder, err)
		}
		free := s.Bavail * uint64(s.Bsize)
		if need := uint64(u.options.MinFree) + uint64(h.DownloadBytes); free < need {
			why := fmt.Sprintf("%s are free for %s, %s are needed (%s to download); nothing was installed",
				humanize.IBytes(free), folder, humanize.IBytes(need), humanize.IBytes(uint64(h.DownloadBytes)))
			return jobs.WithHint(&jobs.RefusedError{Rail: "min_free", Why: why}, "make room (apt-get clean frees downloads), or lower `min_free`")
		}
	}
	return nil
}

// mostNamed is how many packages a sentence names.
const mostNamed = 8

func list(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}
