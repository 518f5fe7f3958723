// Package prune is the kind that deletes old files, such as logs, with rails
// against deleting anything else. It decides on the whole tree before it
// removes the first file, and it looks at each file again, through its open
// descriptor, in the moment before it goes.
package prune

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Deletes old files below a folder, and nothing else.

A file goes when it matches a pattern and is at least ` + "`older_than`" + ` old, to the second,
or when the matching files together exceed ` + "`max_total`" + ` (the oldest go first). The
` + "`keep_newest`" + ` newest matching files of each folder always stay. A pattern without a slash
is compared with the file's name in any folder below root; one with a slash with its path.

With ` + "`compress`" + ` files are compressed from the age ` + "`compress_after`" + ` on: the copy is
written beside the file, synced, read back and compared; only then does it get its name and
the file goes. It keeps time, owner, mode and extended attributes, and counts from then on as
the file that it was. With ` + "`empty_folders`" + ` folders that hold nothing go too, those that this
run empties included; their age is that before the run, and deleting in them does not reset it.

What it never deletes: symbolic links and what they point to, files on other mounts, files
with several names (hard links), files that a process has open or mapped, files that changed
since they were looked at. Each is counted with its reason. Whether a file is open a lease
tells, or, where this process sees all others, a look at what they have open that is at most a
quarter of a second old (longer only where looking itself takes long). Where only root can
tell, the file stays, with a warning. On a network file system only the processes of this
machine count. Memory stays small however many files there are: what does not fit is looked up
once more, and then only what has not changed since the first look goes.

What it refuses (exit code 6, nothing deleted): more than ` + "`max_files`" + `, ` + "`max_bytes`" + ` or, when more
than 10 files match, ` + "`max_share`" + ` of those that match at once, as after a jump of the clock; a
root that is /, a system folder, a home folder, less than two levels deep, a symbolic link,
or a mount point.

The first run of a new or changed rule only shows what it would do, unless
` + "`first_run: apply`" + ` says otherwise. Changed means that it chooses other files: the caps may be
raised without a new first run. A dry run shows everything, ends as the run would, and names
its plan: ` + "`upkeep run WORKFLOW.JOB --apply PLAN`" + ` carries out exactly that within 24 hours, as of
the instant at which it was made, or is refused when any of its files has changed.

Values: files_seen, files_matched, deleted, freed_bytes (disk blocks), compressed, saved_bytes,
folders_removed, skipped, remaining_files, remaining_bytes, next_files and next_bytes (what a
run in 24 hours would delete if nothing changed).`

// Options are one rule.
type Options struct {
	Root          unit.Path     `yaml:"root" required:"true" doc:"The folder below which files are deleted." example:"logs"`
	Match         []string      `yaml:"match" required:"true" doc:"Patterns of the files to delete; at least one." example:"['*.log', 'old/**/*.gz']"`
	Exclude       []string      `yaml:"exclude" doc:"Patterns of files that stay whatever match says." example:"['audit-*.log']"`
	OlderThan     unit.Duration `yaml:"older_than" doc:"Files of at least this age go." example:"7d"`
	AgeFrom       string        `yaml:"age_from" enum:"mtime,name" doc:"Where the age comes from: the time of the last change, or a date in the name (2026-11-23 or 20261123, midnight UTC); files without a date stay."`
	KeepNewest    int           `yaml:"keep_newest" doc:"So many of the newest matching files of each folder stay." example:"3"`
	MaxTotal      unit.Size     `yaml:"max_total" doc:"Matching files together may take this much; beyond it the oldest go." example:"10GiB"`
	MaxFiles      int           `yaml:"max_files" doc:"Refuse to delete more files than this in one run." example:"5000"`
	MaxBytes      unit.Size     `yaml:"max_bytes" doc:"Refuse to delete more bytes than this in one run; 0 means no limit." example:"50GiB"`
	MaxShare      unit.Share    `yaml:"max_share" doc:"Refuse to delete more than this share of the matching files in one run; it does not apply to 10 files or fewer." example:"50%"`
	FirstRun      string        `yaml:"first_run" enum:"dry,apply" doc:"What the first run of a new or changed rule does: only show, or delete."`
	Compress      string        `yaml:"compress" json:",omitempty" enum:"none,gzip,zstd" doc:"Compress files before they are old enough to go; NAME becomes NAME.gz or NAME.zst, with the same time, owner and mode."`
	CompressAfter unit.Duration `yaml:"compress_after" json:",omitempty" doc:"Files of at least this age are compressed." example:"1d"`
	EmptyFolders  unit.Duration `yaml:"empty_folders" json:",omitempty" doc:"Remove folders below root that hold nothing, or nothing any more, and had not changed for so long when the run began." example:"7d"`
	MountRoot     bool          `yaml:"allow_mount_root" doc:"Accept a root that is itself a mount point, such as a volume for logs."`
}

// Kind returns the kind.
func Kind() jobs.Kind {
	defaults := Options{AgeFrom: "mtime", Compress: compressNone, MaxFiles: 100_000, MaxShare: 90, FirstRun: "dry"}
	return jobs.Define("prune", doc, defaults, build)
}

// Validate reports impossible and dangerous rules.
func (o *Options) Validate() error {
	var errs []error
	if o.Root == "" {
		errs = append(errs, jobs.Fieldf("root", "it is required"))
	} else if why := forbidden(string(o.Root)); why != "" {
		errs = append(errs, &jobs.FieldError{Field: "root", Why: why, Hint: "name the folder that holds only files of this sort"})
	}
	if len(o.Match) == 0 {
		errs = append(errs, &jobs.FieldError{Field: "match", Why: "it is required: a rule without a pattern would match every file", Hint: "write for example match: ['*.log']"})
	}
	errs = append(errs, validatePatterns("match", o.Match)...)
	errs = append(errs, validatePatterns("exclude", o.Exclude)...)
	packs := o.Compress != "" && o.Compress != compressNone
	if o.OlderThan == 0 && o.MaxTotal == 0 && !packs && o.EmptyFolders == 0 {
		errs = append(errs, jobs.Fieldf("older_than", "none of older_than, max_total, compress and empty_folders is given, so nothing says what is old"))
	}
	for _, n := range []struct {
		field string
		bad   bool
		why   string
	}{
		{"keep_newest", o.KeepNewest < 0, "it is negative"},
		{"keep_newest", o.KeepNewest > mostNewest, fmt.Sprintf("it is above %d", mostNewest)},
		{"compress", o.Compress != "" && o.Compress != compressNone && o.Compress != compressGzip && o.Compress != compressZstd, "it is none of none, gzip, zstd"},
		{"compress_after", packs && o.CompressAfter == 0, "it is required by compress: files that are written to must not be compressed"},
		{"compress_after", packs && o.OlderThan > 0 && o.CompressAfter >= o.OlderThan, "it is not below older_than, so that nothing would be compressed"},
		{"compress_after", !packs && o.CompressAfter > 0, "compress is not given, so that nothing would be compressed"},
		{"max_files", o.MaxFiles < 1, "it must be at least 1"},
		{"max_share", o.MaxShare <= 0, "it must be above 0%"},
		{"age_from", o.AgeFrom != "mtime" && o.AgeFrom != "name", "it is neither mtime nor name"},
		{"first_run", o.FirstRun != "dry" && o.FirstRun != "apply", "it is neither dry nor apply"},
	} {
		if n.bad {
			errs = append(errs, jobs.Fieldf(n.field, "%s", n.why))
		}
	}
	return errors.Join(errs...)
}

// mostPatterns bounds a list of patterns: every file is compared with each.
const mostPatterns = 1000

func validatePatterns(field string, patterns []string) []error {
	var errs []error
	if len(patterns) > mostPatterns {
		errs = append(errs, jobs.Fieldf(field, "%d patterns are more than %d", len(patterns), mostPatterns))
	}
	for i, p := range patterns {
		if p == "" || !doublestar.ValidatePattern(p) || strings.HasPrefix(p, "/") || strings.Contains("/"+p+"/", "/../") {
			errs = append(errs, &jobs.FieldError{
				Field: fmt.Sprintf("%s[%d]", field, i), Why: fmt.Sprintf("%q is not a pattern of a name or of a path below root", p),
				Hint: "write for example '*.log', or 'app/**/*.gz' for some folders only",
			})
		}
	}
	return errs
}
