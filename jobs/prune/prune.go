// Package prune is the kind that deletes old files, such as logs, with rails
// against deleting anything else. It decides on the whole tree before it
// removes the first file, and it looks at each file again, through its open
// descriptor, in the moment before it goes.
package prune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Deletes old files below a folder, and nothing else.

A file goes when it matches a pattern and is at least ` + "`older_than`" + ` old, to the second,
or when the matching files together exceed ` + "`max_total`" + ` (the oldest go first). The
` + "`keep_newest`" + ` newest matching files of each folder always stay. A pattern without a slash
is compared with the file's name in any folder below root; one with a slash with its path.

What it never deletes: folders, symbolic links and what they point to, files on other
mounts, files with several names (hard links), files that a process has open, files that
changed since they were looked at. Each is counted with its reason.

What it refuses (exit code 6, nothing deleted): more than ` + "`max_files`" + `, ` + "`max_bytes`" + ` or, in a
tree of more than 10 files, ` + "`max_share`" + ` of all files at once; a root that is /, a system
folder, a home folder, less than two levels deep, a symbolic link, or a mount point.

The first run of a new or changed rule only shows what it would do, unless
` + "`first_run: apply`" + ` says otherwise.

Values: files_seen, files_matched, deleted, freed_bytes (disk blocks), skipped,
remaining_files, remaining_bytes, next_files and next_bytes (what a run in 24 hours
would delete if nothing changed).`

// Options are one rule.
type Options struct {
	Root       unit.Path     `yaml:"root" required:"true" doc:"The folder below which files are deleted." example:"logs"`
	Match      []string      `yaml:"match" required:"true" doc:"Patterns of the files to delete; at least one." example:"['*.log', 'old/**/*.gz']"`
	Exclude    []string      `yaml:"exclude" doc:"Patterns of files that stay whatever match says." example:"['audit-*.log']"`
	OlderThan  unit.Duration `yaml:"older_than" doc:"Files of at least this age go." example:"7d"`
	AgeFrom    string        `yaml:"age_from" enum:"mtime,name" doc:"Where the age comes from: the time of the last change, or a date in the name (2026-11-23 or 20261123, midnight UTC); files without a date stay."`
	KeepNewest int           `yaml:"keep_newest" doc:"So many of the newest matching files of each folder stay." example:"3"`
	MaxTotal   unit.Size     `yaml:"max_total" doc:"Matching files together may take this much; beyond it the oldest go." example:"10GiB"`
	MaxFiles   int           `yaml:"max_files" doc:"Refuse to delete more files than this in one run."`
	MaxBytes   unit.Size     `yaml:"max_bytes" doc:"Refuse to delete more bytes than this in one run; 0 means no limit." example:"50GiB"`
	MaxShare   unit.Share    `yaml:"max_share" doc:"Refuse to delete more than this share of all files below root in one run."`
	FirstRun   string        `yaml:"first_run" enum:"dry,apply" doc:"What the first run of a new or changed rule does: only show, or delete."`
	MountRoot  bool          `yaml:"allow_mount_root" doc:"Accept a root that is itself a mount point, such as a volume for logs."`
}

// Kind returns the kind.
func Kind() jobs.Kind {
	defaults := Options{AgeFrom: "mtime", MaxFiles: 100_000, MaxShare: 90, FirstRun: "dry"}
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
	for field, patterns := range map[string][]string{"match": o.Match, "exclude": o.Exclude} {
		for i, p := range patterns {
			if p == "" || !doublestar.ValidatePattern(p) || strings.HasPrefix(p, "/") || strings.Contains("/"+p+"/", "/../") {
				errs = append(errs, &jobs.FieldError{Field: fmt.Sprintf("%s[%d]", field, i), Why: fmt.Sprintf("%q is not a pattern of a name or of a path below root", p)})
			}
		}
	}
	if o.OlderThan == 0 && o.MaxTotal == 0 {
		errs = append(errs, jobs.Fieldf("older_than", "neither older_than nor max_total is given, so nothing says what is old"))
	}
	for _, n := range []struct {
		field string
		bad   bool
		why   string
	}{
		{"keep_newest", o.KeepNewest < 0, "it is negative"},
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

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	history, err := deps.History("", "")
	if err != nil {
		return nil, fmt.Errorf("history of this job: %w", err)
	}
	return &rule{options: o, history: history, now: time.Now}, nil
}

// rule is the job.
type rule struct {
	options Options
	history jobs.History
	now     func() time.Time
}

// LockKeys keeps two rules from working in the same folder at once.
func (r *rule) LockKeys() []string { return []string{"path" + string(r.options.Root)} }

// Check makes sure that the root exists and is one of those allowed.
func (r *rule) Check(context.Context, *jobs.Env) (err error) {
	root, err := openRoot(string(r.options.Root), r.options.MountRoot)
	if err != nil {
		return err
	}
	return root.Close()
}

// outputRule is the name under which a run leaves the digest of its rule for
// the next one.
const outputRule = "rule"

// digest identifies the rule: any change of it is a new rule.
func (r *rule) digest() (string, error) {
	text, err := json.Marshal(r.options)
	if err != nil {
		return "", fmt.Errorf("describe the rule: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// known tells whether an earlier run showed what this rule does.
func (r *rule) known(ctx context.Context, digest string) (bool, error) {
	past, err := r.history.Past(ctx, 1)
	if err != nil {
		return false, fmt.Errorf("read the last run of this rule: %w", err)
	}
	return len(past) > 0 && past[0].Result.Outputs[outputRule] == digest, nil
}

// Run shows or deletes.
func (r *rule) Run(ctx context.Context, env *jobs.Env) (result jobs.Result, err error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("prune %s: %w", r.options.Root, err)
	}
	digest, err := r.digest()
	if err != nil {
		return jobs.Result{}, err
	}
	root, err := openRoot(string(r.options.Root), r.options.MountRoot)
	if err != nil {
		return jobs.Result{}, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	now := r.now()
	env.Printf("cutoff: files last changed at or before %s are old enough", now.Add(-r.options.OlderThan.Std()).UTC().Format(time.RFC3339))
	t := &tree{options: r.options, root: root, now: now, skipped: map[string]int{}}
	if err := t.scan(ctx, env); err != nil {
		return jobs.Result{}, err
	}
	doomed := t.choose()
	if err := r.rails(t, doomed); err != nil {
		t.report(env, doomed)
		return t.result(r.options, 0, 0), err
	}
	t.report(env, doomed)
	known, err := r.known(ctx, digest)
	if err != nil {
		return jobs.Result{}, err
	}
	if !known && r.options.FirstRun == "dry" && !env.DryRun() {
		result = t.preview(r.options, doomed)
		result.Outputs = map[string]string{outputRule: digest}
		return result, nil
	}
	deleted, freed, err := t.remove(ctx, env, doomed)
	result = t.result(r.options, deleted, freed)
	result.Outputs = map[string]string{outputRule: digest}
	if env.DryRun() && err == nil {
		result.Summary = fmt.Sprintf("would delete %s", amount(len(doomed), blocks(doomed)))
	}
	return result, err
}

// smallTree is the number of files up to which max_share does not apply: of
// three files, two may well be old.
const smallTree = 10

// rails refuses a run that would delete more than the rule allows.
func (r *rule) rails(t *tree, doomed []*file) error {
	o, bytes := r.options, blocks(doomed)
	what := fmt.Sprintf("would delete %s of %d files below %s", amount(len(doomed), bytes), t.seen, o.Root)
	refuse := func(rail, limit string) error {
		return jobs.WithHint(&jobs.RefusedError{Rail: rail, Why: fmt.Sprintf("%s, limit %s; nothing was deleted", what, limit)},
			fmt.Sprintf("look with a dry run (upkeep run WORKFLOW.JOB --dry-run); if it is right, raise %s for one run", rail))
	}
	switch {
	case len(doomed) > o.MaxFiles:
		return refuse("max_files", fmt.Sprint(o.MaxFiles))
	case o.MaxBytes > 0 && bytes > int64(o.MaxBytes):
		return refuse("max_bytes", o.MaxBytes.String())
	case t.seen > smallTree && float64(len(doomed)) > o.MaxShare.Fraction()*float64(t.seen):
		return refuse("max_share", o.MaxShare.String())
	}
	return nil
}

// homeOf is the folder of the user who runs upkeep; it may be unknown.
func homeOf() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return home
}
