// Package archive is the kind that saves directories as a compressed tar in a
// store. It knows how to read a tree that changes under it without being
// fooled or leaving it, how to prove what it stored against what it read, and
// how to restore it safely. It refuses to call a tree saved that it could not
// read whole.
package archive

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/storage/object"
)

const doc = `Saves directories as a compressed tar in one or several stores, and proves it.

Every file is hashed while it is read. The tar (format PAX, names sorted) is compressed on all
cores, streamed into the stores in one pass, read back from each store and compared with these
hashes; only then does the manifest appear, without which no artifact exists. Any tar and zstd can
unpack it: ` + "`zstd -dc archive.tar.zst | tar -x`" + `. Beside the tar lies an index, files.jsonl, with a line
for each entry: its attributes and the SHA-256 of its content.

**What is saved.** Regular files, directories, symbolic links (as links) and hard links, with modes,
owners, times, and extended attributes with ACLs and capabilities (SCHILY.xattr records, which GNU tar
restores with ` + "`--xattrs --xattrs-include='*'`" + `; those of SELinux, IMA and EVM belong to the machine and
are not). Files with holes are stored without them (GNU's sparse format 1.0). Sockets, FIFOs and
devices are left out. Names in the tar are relative to the configuration's root, or to / for paths
outside it. A path that is itself a symbolic link is followed. Directories on other file systems are
left out with a warning, unless follow_mounts is set; those that show the state of the kernel (/proc,
/sys), the directories of local stores and upkeep's own ledger are always left out.

**What is an error.** A path that is missing or holds no file (allow_empty), and a file or directory
that cannot be read (unreadable). Files that vanish while the archive is made are warnings. A file
that changes while it is read is read again: a small one at once, a large one at the end, where it is
stored a second time and replaces the first copy. What never comes to rest is stored as it was read,
marked as torn, and a warning or an error (changed); one that only grew, like a log, is noted.

**exclude** takes patterns: one without a slash matches the name of a file or directory anywhere,
one with a slash the whole name in the tar or the whole path on disk; ` + "`**`" + ` matches any number of
directories, a slash at the end matches directories only, and ` + "`dir/**`" + ` what is in a directory. A pattern
that begins with ` + "`!`" + ` takes back what an earlier one leaves out; the last that matches decides. What lies
in a directory that is left out cannot be taken back. exclude_caches leaves out the content of
directories marked by a CACHEDIR.TAG.

**The same tree gives the same bytes.** reproducible leaves out the owners and stores holes as zeros, so
that copies of a tree on other machines give the same archive; owner and modified set one owner and
one time for everything.

**Restoring** puts the content into a new or empty directory, all of it or, with ` + "`--only`" + `, some names and
what is below them. It grows beside the target and appears there when it is whole, proven and on the
disk. Links that lead out of the target are left out with a warning. Run by root it restores owners.

**Live databases.** A copy of the files of a running database is not a backup of it. An SQLite
database with a write-ahead log is reported; save it with sqlitebackup.

Values: files, directories, links, bytes, stored_bytes, ratio, torn, skipped, write_seconds,
verify_seconds, drill_seconds, restore_seconds.`

// Options are the options of the kind.
type Options struct {
	Paths []unit.Path `yaml:"paths" required:"true" doc:"Directories and files to save." example:"[data, models]"`
	// The options of every kind that publishes artifacts.
	artifact.Options `yaml:",inline"`
	Exclude          []string `yaml:"exclude" doc:"Patterns of what to leave out." example:"['*.tmp', cache/, 'data/**/old']"`
	ExcludeCaches    bool     `yaml:"exclude_caches" doc:"Leave out the content of directories that hold a CACHEDIR.TAG."`
	FollowMounts     bool     `yaml:"follow_mounts" doc:"Also save what is mounted below the paths from other file systems."`
	Changed          string   `yaml:"changed" enum:"warn,fail" doc:"What to do about a file that changes while it is read."`
	Unreadable       string   `yaml:"unreadable" enum:"fail,warn" doc:"What to do about files and directories that cannot be read."`
	AllowEmpty       bool     `yaml:"allow_empty" doc:"Accept a path that holds no file."`
	Reproducible     bool     `yaml:"reproducible" doc:"Leave out the owners, so that equal trees of different users or machines give equal archives. Holes of sparse files are stored as zeros then."`
	Owner            string   `yaml:"owner" doc:"User and group, by numbers, that everything belongs to in the archive." example:"1000:1000"`
	Modified         string   `yaml:"modified" doc:"Time, RFC 3339, that everything has in the archive." example:"2026-01-01T00:00:00Z"`
}

const (
	policyFail = "fail"
	policyWarn = "warn"
)

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("archive", doc, Options{
		Options:    artifact.Defaults(),
		Changed:    policyWarn,
		Unreadable: policyFail,
	}, New).WithArtifacts(artifacts{})
}

// Validate judges the options.
func (o *Options) Validate() error {
	errs := []error{o.Options.ValidateUpTo(object.L3)}
	if len(o.Paths) == 0 {
		errs = append(errs, jobs.Fieldf("paths", "no path is given"))
	}
	for i, p := range o.Paths {
		for k, other := range o.Paths {
			if i != k && within(p.String(), other.String()) && (i > k || filepath.Clean(p.String()) != filepath.Clean(other.String())) {
				errs = append(errs, jobs.Fieldf(fmt.Sprintf("paths[%d]", i), "%s lies inside %s and would be saved twice", p, other))
				break
			}
		}
	}
	errs = append(errs, o.validateExclude()...)
	if _, err := o.owner(); err != nil {
		errs = append(errs, jobs.Fieldf("owner", "%v", err))
	}
	if _, err := o.modified(); err != nil {
		errs = append(errs, jobs.Fieldf("modified", "%v", err))
	}
	return errors.Join(errs...)
}

func (o *Options) validateExclude() []error {
	var errs []error
	for i, pattern := range o.Exclude {
		field, r := fmt.Sprintf("exclude[%d]", i), parseRule(pattern)
		switch {
		case strings.Trim(r.pattern, "/") == "":
			errs = append(errs, jobs.Fieldf(field, "the pattern %q is empty", pattern))
		case !doublestar.ValidatePattern(r.pattern):
			errs = append(errs, jobs.Fieldf(field, "%q is not a pattern", pattern))
		case r.save && !slices.ContainsFunc(o.Exclude[:i], func(earlier string) bool { return !parseRule(earlier).save }):
			errs = append(errs, jobs.Fieldf(field, "%q takes back nothing: no pattern before it leaves anything out", pattern))
		}
	}
	return errs
}

// owner returns the owner of everything, or nil when each has its own.
func (o *Options) owner() (*owner, error) {
	if o.Owner == "" {
		if o.Reproducible {
			return &owner{}, nil
		}
		return nil, nil
	}
	user, group, ok := strings.Cut(o.Owner, ":")
	uid, err := strconv.ParseUint(user, 10, 32)
	gid, groupErr := strconv.ParseUint(group, 10, 32)
	if err = errors.Join(err, groupErr); err != nil || !ok {
		return nil, fmt.Errorf("%q is not a user and a group by their numbers, such as 1000:1000", o.Owner)
	}
	return &owner{uid: uint32(uid), gid: uint32(gid)}, nil
}

// modified returns the time of everything, or zero when each has its own.
func (o *Options) modified() (time.Time, error) {
	if o.Modified == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, o.Modified)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time such as 2026-01-01T00:00:00Z", o.Modified)
	}
	return at.UTC(), nil
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// Job saves paths.
type Job struct {
	options   Options
	publisher *artifact.Publisher
}

var (
	_ jobs.Job     = (*Job)(nil)
	_ jobs.Checker = (*Job)(nil)
)

// New builds the job.
func New(o Options, deps jobs.Deps) (jobs.Job, error) {
	publisher, err := artifact.New("archive", o.Options, deps)
	if err != nil {
		return nil, err
	}
	return &Job{options: o, publisher: publisher}, nil
}
