package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// artifacts is what the kind knows about its artifacts.
type artifacts struct{}

var (
	_ jobs.Artifacts = artifacts{}
	_ jobs.Restorer  = artifacts{}
)

// Verify proves an archive.
func (artifacts) Verify(ctx context.Context, env *jobs.Env, a *object.Artifact, p jobs.Proving) (object.Proof, error) {
	return artifact.Prover(func(ctx context.Context, _ *jobs.Env, a *object.Artifact, keys crypt.Keys) error {
		return Verify(ctx, a, keys...)
	}).Verify(ctx, env, a, p)
}

// Restore extracts the archive into the new or empty directory t.To; t.Only are
// names of the archive, with what is below them. Owners are restored for root.
func (artifacts) Restore(ctx context.Context, env *jobs.Env, a *object.Artifact, t jobs.Target) (jobs.Restored, error) {
	details, err := DetailsOf(a.Manifest)
	if err != nil {
		return jobs.Restored{}, err
	}
	if err := vacant(t.To, true); err != nil {
		return jobs.Restored{}, err
	}
	what := fmt.Sprintf("%s files, %s", humanize.Comma(details.Files), artifact.Bytes(details.Bytes))
	if len(t.Only) > 0 {
		what = strings.Join(t.Only, ", ") + " out of " + what
	}
	var out Extracted
	err = env.Effect(ctx, fmt.Sprintf("restore %s, into %s", what, t.To), func(ctx context.Context) (err error) {
		out, err = Extract(ctx, a, Extraction{
			Target: t.To, Only: t.Only, Owners: os.Geteuid() == 0, Identities: t.Identities,
			Progress: func(done, total int64) { env.Progress(done, total, "bytes") },
		})
		return err
	})
	if err != nil {
		return jobs.Restored{}, err
	}
	if env.DryRun() {
		return jobs.Restored{Summary: fmt.Sprintf("%s, into %s", what, t.To)}, nil
	}
	r := jobs.Restored{Summary: fmt.Sprintf("%s files, %s, into %s", humanize.Comma(out.Totals.Files), artifact.Bytes(out.Totals.Bytes), t.To)}
	for _, link := range out.Refused {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "link:" + jobs.FindingIDFrom(link), Severity: jobs.Warning, Text: "left out because it leads out of the target, or to what was not restored: " + link,
		})
	}
	if out.Unswept != nil {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "unfinished", Severity: jobs.Warning, Text: "what a killed restore left could not be removed: " + jobs.OneLine(out.Unswept.Error()),
		})
	}
	if out.XattrsLost > 0 {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "xattrs", Severity: jobs.Warning,
			Text: fmt.Sprintf("%d entries could not get all of their extended attributes here, such as %s", out.XattrsLost, strings.Join(out.Xattrs, ", ")),
		})
	}
	return r, nil
}

// vacant refuses a target that holds anything, unless it is a stage and those
// are allowed.
func vacant(dir string, stages bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the target: %w", err)
	}
	if stages {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return stageName.MatchString(e.Name()) })
	}
	if len(entries) > 0 {
		return jobs.WithHint(&jobs.RefusedError{Rail: "empty target", Why: fmt.Sprintf("%s holds %d entries, which extraction could overwrite", dir, len(entries))},
			"choose a new directory")
	}
	return nil
}
