package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ghosteam/upkeep/jobs"
)

// journalName is the file that says that a promotion is under way: it stands
// from before the link is exchanged until the gate was answered.
const journalName = "promotion.json"

// The phases of a promotion.
const (
	phasePromoting   = "promoting"
	phaseRollingBack = "rolling_back"
)

// journal is what the next run needs to finish a promotion or to undo it.
type journal struct {
	Schema int    `json:"schema"`
	Run    string `json:"run"`
	Phase  string `json:"phase"`
	// From is the link before, as it was written; To the version.
	From string `json:"from"`
	To   string `json:"to"`
	Text string `json:"text"`
	// Why is why it is rolled back.
	Why string `json:"why,omitempty"`
}

// promote exchanges the link and proves that all is well.
func (r *run) promote(ctx context.Context, v *manifest, link, text string) error {
	j := &journal{Schema: manifestSchema, Run: r.env.RunID, Phase: phasePromoting, From: link, To: v.Version, Text: text}
	err := r.env.Effect(ctx, "promote version "+v.Version+" of model "+r.m.name+instead(link), func(ctx context.Context) error {
		files, err := r.m.hashModel(ctx, v.Version)
		if err == nil && files != v.Files {
			err = fmt.Errorf("version %s is not what was trained: its files were changed", v.Version)
		}
		if err != nil {
			return err
		}
		if err := r.m.writeManifest(linkTo(v.Version), v); err != nil { // with its metrics
			return err
		}
		if err := r.m.writeJSON(journalName, j); err != nil {
			return err
		}
		return r.m.point(linkTo(v.Version))
	})
	if err != nil {
		return fmt.Errorf("promote version %s: %w", v.Version, err)
	}
	return r.prove(ctx, v, j)
}

func instead(link string) string {
	if link == "" {
		return ", the first"
	}
	return " in the place of " + versionOf(link)
}

// prove goes on from an exchanged link: the promotion stays or goes back.
func (r *run) prove(ctx context.Context, v *manifest, j *journal) error {
	if err := r.serve(ctx, v.Version, r.m.at(linkTo(v.Version))); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return jobs.WithHint(fmt.Errorf("version %s of model %s is in use, but it is not known whether all is well: %w", v.Version, r.m.name, cause),
				"run the job again: it asks the gate again and goes back if need be")
		}
		return r.rollBack(ctx, v, j, r.env.OneLine(err.Error()))
	}
	err := r.env.Effect(ctx, "keep version "+v.Version+" of model "+r.m.name, func(context.Context) error {
		v.State, v.Outcome = statePromoted, outcomePromoted+": "+j.Text
		return errors.Join(r.m.writeManifest(linkTo(v.Version), v), r.dropJournal())
	})
	if err != nil {
		return err
	}
	change := fmt.Sprintf("version %s to %s", versionOf(j.From), v.Version)
	if j.From == "" {
		change = "version " + v.Version + ", the first"
	}
	r.result.Events = append(r.result.Events, jobs.Event{Kind: "deploy", Subject: "model " + r.m.name, Text: change})
	if j.Run != r.env.RunID {
		return nil
	}
	r.result.Outputs["promoted"], r.result.Outputs["better"] = "true", "true"
	return r.end(ctx, v, outcomePromoted, j.Text)
}

// serve lets the server know of a version and asks the gate.
func (r *run) serve(ctx context.Context, version, folder string) error {
	if argv := r.options.Promote.Run; len(argv) > 0 {
		err := r.env.Effect(ctx, "let the server load version "+version+" by "+display(r.env, argv), func(ctx context.Context) error {
			_, err := r.program(ctx, "promote.run", argv, false, exitOnly, r.about(version, folder)...)
			return err
		})
		if err != nil {
			return err
		}
	}
	if r.options.Gate.none() {
		return nil
	}
	return r.env.Effect(ctx, "ask the gate about version "+version, r.passGate)
}

// rollBack makes the version before the one in use again, and asks the gate
// about that one, too.
func (r *run) rollBack(ctx context.Context, v *manifest, j *journal, why string) error {
	j.Phase, j.Why = phaseRollingBack, why
	err := r.env.Effect(ctx, "roll model "+r.m.name+" back"+backTo(j.From)+": "+why, func(context.Context) error {
		if err := r.m.writeJSON(journalName, j); err != nil {
			return err
		}
		return r.m.point(j.From)
	})
	if err != nil {
		return r.stranded(v, j, err)
	}
	var gate error
	if j.From != "" {
		gate = r.serve(ctx, versionOf(j.From), r.m.folderOf(j.From))
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("roll model %s back: %w", r.m.name, cause) // the next run does it again
	}
	err = r.env.Effect(ctx, "note that version "+v.Version+" was rolled back", func(context.Context) error {
		v.State, v.Outcome = stateRolledBack, why
		return errors.Join(r.m.writeManifest(linkTo(v.Version), v), r.dropJournal())
	})
	r.addFinding("retrain:rolled-back", jobs.Critical, fmt.Sprintf("version %s was promoted and rolled back%s: %s", v.Version, backTo(j.From), why))
	r.result.Events = append(r.result.Events, jobs.Event{Kind: "rollback", Subject: "model " + r.m.name, Text: r.env.OneLine("version " + v.Version + " back" + backTo(j.From) + ": " + why)})
	if gate != nil {
		return errors.Join(r.stranded(v, j, gate), err)
	}
	if err != nil || j.Run != r.env.RunID {
		return err
	}
	return r.end(ctx, v, outcomeRolledBack, why)
}

func backTo(link string) string {
	if link == "" {
		return " to none"
	}
	return " to " + versionOf(link)
}

// stranded says that neither the new version nor the old one is well.
func (r *run) stranded(v *manifest, j *journal, err error) error {
	return jobs.WithHint(fmt.Errorf("model %s is not well: version %s was rolled back (%s), and going back%s failed too: %w", r.m.name, v.Version, j.Why, backTo(j.From), err),
		"look at the server now; "+r.m.at(currentName)+" says which version it should load")
}

func (r *run) dropJournal() error {
	err := r.m.root.Remove(journalName)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, r.m.sync("."))
}

// recover finishes what a killed run left of a promotion. It tells whether that
// was an earlier attempt of this very run, which ends with it.
func (r *run) recover(ctx context.Context) (ended bool, err error) {
	text, err := r.m.readFile(journalName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var j journal
	if err == nil {
		err = json.Unmarshal(text, &j)
	}
	if err == nil && (j.Schema != manifestSchema || !versionName.MatchString(j.To)) {
		err = errors.New("it is not one of ours")
	}
	if err != nil {
		return false, jobs.WithHint(fmt.Errorf("read %s: %w", r.m.at(journalName), err), "see which version is in use and that it is well, then remove the file")
	}
	link, err := r.m.current()
	if err != nil {
		return false, err
	}
	v, err := r.m.readManifest(linkTo(j.To))
	own := j.Run == r.env.RunID
	switch {
	case err == nil && j.Phase == phasePromoting && link == linkTo(j.To):
		r.env.Printf("the promotion of version %s was cut short; asking the gate again", j.To)
		return own, r.prove(ctx, v, &j)
	case err == nil && j.Phase == phaseRollingBack && (link == linkTo(j.To) || link == j.From):
		r.env.Printf("the way back from version %s was cut short; going back again", j.To)
		return own, r.rollBack(ctx, v, &j, j.Why)
	case link != j.From:
		r.addFinding("retrain:foreign-link", jobs.Warning, fmt.Sprintf("the promotion of version %s was cut short, and meanwhile somebody pointed %s at %s, which stays", j.To, r.m.at(currentName), link))
	}
	// The link was never exchanged.
	return false, r.env.Effect(ctx, "forget the promotion of version "+j.To+", which did not happen", func(context.Context) error { return r.dropJournal() })
}
