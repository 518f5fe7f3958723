package custody

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// Artifact is an artifact in a store of the configuration.
type Artifact struct {
	*object.Artifact
	// Store is the configured name of the store.
	Store string
	// Ratio is its stored size by that of the one before; 0 for the first.
	Ratio float64
	// Fate is what retention does with it; zero when nobody asked.
	Fate Fate

	// from is the store, and meter counts what is read from it.
	from  object.Store
	meter *meter
	// scrub takes the store's secrets out of an error.
	scrub func(error) error
}

// Name is WORKFLOW.JOB of what made it.
func (a Artifact) Name() string { return a.Manifest.Workflow + "." + a.Manifest.Job }

// View is the artifact as the API answers it.
func (a Artifact) View(now time.Time) api.Backup {
	m := a.Manifest
	v := api.Backup{
		ID: m.ID, Set: m.Set, Workflow: m.Workflow, Job: m.Job, Kind: m.Kind, Store: a.Store, Run: m.Run, Node: m.Node,
		Created: m.Created.UTC(), AgeSeconds: math.Round(now.Sub(m.Created).Seconds()), Bytes: m.Stored(),
		Level: a.Level(), ProvenAt: m.Proven.UTC(), Suspect: m.Suspect, Retention: a.Fate.Word, Reasons: append([]string{}, a.Fate.Reasons...),
	}
	for _, s := range m.Streams {
		v.PlainBytes += s.Plain.Bytes
		v.Encrypted = v.Encrypted || len(s.Recipients) > 0
	}
	if a.Ratio > 0 {
		ratio := a.Ratio
		v.Ratio = &ratio
	}
	if p := a.Proof; p != nil {
		v.ProvenAt, v.Seconds, v.Damage = p.Time.UTC(), p.Seconds, p.Damage
		if r := p.Restored; r != nil && p.Damage == "" {
			at := r.AsOf.UTC()
			v.RestorableAsOf, v.RestoreSeconds, v.RestoredBytes, v.RestoredRows, v.RestoredOn = &at, r.Seconds, r.Bytes, r.Rows, r.Server
		}
	}
	return v
}

// Views are artifacts as the API answers them.
func Views(list []Artifact, now time.Time) []api.Backup {
	views := make([]api.Backup, len(list))
	for i, a := range list {
		views[i] = a.View(now)
	}
	return views
}

// advise says what to do about an artifact that is damaged.
func (a Artifact) advise(err error) error {
	if !errors.Is(err, object.ErrDamaged) || jobs.HintOf(err) != "" {
		return err
	}
	return jobs.WithHint(err, fmt.Sprintf("`upkeep backup list %s` shows what else there is; make a new one with `upkeep run %s`, and look at the disk of the store %s", a.Name(), a.Name(), a.Store))
}

// errRemoved says that an artifact was removed while it was read.
var errRemoved = errors.New("it was removed meanwhile")

// gone tells whether the artifact was removed since it was found.
func (a Artifact) gone(ctx context.Context) error {
	if _, err := object.Load(ctx, a.from, a.Info.Key); errors.Is(err, object.ErrNotFound) {
		return errRemoved
	}
	return nil
}

// warnBefore says what is odd about an artifact that is going to be used.
func (c *Custodian) warnBefore(a Artifact) {
	if a.Manifest.Suspect != "" {
		c.say("warning: %s is suspect: %s", a.Manifest.ID, jobs.OneLine(a.Manifest.Suspect))
	}
	if a.Proof != nil && a.Proof.Damage != "" {
		c.say("warning: %s was found damaged: %s", a.Manifest.ID, jobs.OneLine(a.Proof.Damage))
	}
}

// deeper tells whether a new proof says more than the one on record: damage
// always does, and a proof takes the place of others that went no further.
func deeper(old *object.Proof, proof object.Proof) bool {
	return old == nil || proof.Damage != "" || proof.Level.Rank() >= old.Level.Rank()
}

// compareSizes sets the ratios of artifacts, which are newest first, to the
// ones before of the same job in the same store.
func compareSizes(all []Artifact) {
	newer := map[string]int{}
	for i, a := range all {
		key := a.Store + "/" + a.Name() + "/" + a.Manifest.Kind
		if at, ok := newer[key]; ok && a.Manifest.Stored() > 0 {
			all[at].Ratio = float64(all[at].Manifest.Stored()) / float64(a.Manifest.Stored())
		}
		newer[key] = i
	}
}

// newestOf returns the newest artifact of each job in each store.
func newestOf(found []Artifact) []Artifact {
	seen := map[string]bool{}
	var out []Artifact
	for _, a := range found {
		key := a.Store + "/" + a.Name() + "/" + a.Manifest.Kind
		if !seen[key] {
			out = append(out, a)
		}
		seen[key] = true
	}
	return out
}
