package pages

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// paramField is what the fields of a form begin with that are parameters.
const paramField = "param."

// startRun runs a workflow now.
func (p *Pages) startRun(v *visit) (outcome, error) {
	request := api.RunRequest{Workflow: v.PathValue("name"), DryRun: v.PostForm.Get("dry_run") != "", Params: map[string]string{}, Trigger: runner.ByManual}
	for field, values := range v.PostForm {
		// An empty field leaves the parameter at its default.
		if name, ok := strings.CutPrefix(field, paramField); ok && len(values) > 0 && values[0] != "" {
			request.Params[name] = values[0]
		}
	}
	if job := v.PostForm.Get("job"); job != "" {
		request.Jobs, request.WithNeeds = []string{job}, v.PostForm.Get("with_needs") != ""
	}
	request.On = v.field("on")
	accepted, err := v.api.StartOnce(v.ctx, formKey(v), request)
	if err != nil {
		return outcome{}, err
	}
	text := "The run is on its way."
	if n := len(accepted.Runs); n > 1 {
		text = fmt.Sprintf("%d runs are on their way, one for each node.", n)
	}
	switch {
	case accepted.Duplicate:
		text = "This form was sent before, and started this run. Load its page anew to start another."
	case request.DryRun:
		text = "The dry run is on its way: every effect is only described."
	}
	return outcome{to: runPath(accepted.Run), text: text}, nil
}

// onceField is the field of a form that tells it from the same form on the page
// loaded anew.
const onceField = "once"

// formKey is the same for a form that is sent twice as it is, such as by a double
// click. A form that does not say which it is was sent once.
func formKey(v *visit) string {
	if v.PostForm.Get(onceField) == "" {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte(v.URL.Path + "?" + v.PostForm.Encode()))
	return hex.EncodeToString(sum[:])
}

// pauseWorkflow keeps the slots of a workflow from running.
func (p *Pages) pauseWorkflow(v *visit) (outcome, error) {
	name, reason := v.PathValue("name"), strings.TrimSpace(v.PostForm.Get("reason"))
	if reason == "" {
		return outcome{}, api.NewProblem(api.CodeInvalid, "whoever finds it paused at night wants to know why", "a pause needs a reason")
	}
	var until time.Time
	if lasts := v.PostForm.Get("for"); lasts != "" {
		d, err := unit.ParseDuration(lasts)
		if err != nil {
			return outcome{}, api.NewProblem(api.CodeInvalid, "write 8h or 2d", "the pause would last "+lasts+", which is no duration")
		}
		until = v.now.Add(d)
	}
	if _, err := v.api.Pause(v.ctx, name, reason, until); err != nil {
		return outcome{}, err
	}
	if until.IsZero() {
		return outcome{text: name + " is paused until somebody ends that."}, nil
	}
	return outcome{text: name + " is paused until " + until.In(v.zone(name)).Format("Mon 2 Jan 15:04 MST") + "."}, nil
}

func (p *Pages) unpauseWorkflow(v *visit) (outcome, error) {
	name := v.PathValue("name")
	was, err := v.api.Unpause(v.ctx, name)
	switch {
	case err != nil:
		return outcome{}, err
	case !was:
		return outcome{text: name + " was not paused."}, nil
	}
	return outcome{text: "The pause of " + name + " has ended."}, nil
}

func (p *Pages) cancelRun(v *visit) (outcome, error) {
	before, err := v.api.Cancel(v.ctx, runner.RunID(v.PathValue("id")))
	switch {
	case err != nil:
		return outcome{}, err
	case before.Final():
		return outcome{text: "The run had ended already: " + string(before) + "."}, nil
	case before == runner.Queued:
		return outcome{text: "The run is canceled; it had not begun."}, nil
	}
	return outcome{text: "The run is being canceled; what it does ends soon."}, nil
}

func (p *Pages) retryRun(v *visit) (outcome, error) {
	id, from := v.PathValue("id"), v.PostForm.Get("from")
	if err := v.api.Retry(v.ctx, runner.RunID(id), from); err != nil {
		return outcome{}, err
	}
	text := "The run goes on: what is done stays done."
	if from != "" {
		text = "The run goes on, from " + from + "."
	}
	return outcome{to: runPath(runner.RunID(id)), text: text}, nil
}

func (p *Pages) approveRun(v *visit) (outcome, error) {
	if err := v.api.Approve(v.ctx, runner.RunID(v.PathValue("id"))); err != nil {
		return outcome{}, err
	}
	return outcome{text: "The run is approved."}, nil
}
