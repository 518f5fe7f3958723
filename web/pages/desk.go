package pages

import (
	"errors"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/web/api"
)

// registerDesk adds what people do about incidents, notices and silences.
func (p *Pages) registerDesk() {
	p.action("POST /do/incidents/{id}/ack", func(v *visit) (outcome, error) {
		until, err := untilField(v, "for")
		if err != nil {
			return outcome{}, err
		}
		return outcome{text: "you work on it now: it is neither repeated nor escalated"}, v.api.AckIncident(v.ctx, v.PathValue("id"), v.field("note"), until)
	})
	p.action("POST /do/incidents/{id}/note", func(v *visit) (outcome, error) {
		if v.field("text") == "" {
			return outcome{}, errEmpty("the note says nothing")
		}
		return outcome{text: "written down"}, v.api.NoteIncident(v.ctx, v.PathValue("id"), v.field("text"))
	})
	p.action("POST /do/incidents/{id}/resolve", func(v *visit) (outcome, error) {
		return outcome{text: "resolved; what is still wrong becomes a new incident when it shows again"},
			v.api.ResolveIncident(v.ctx, v.PathValue("id"), v.field("note"))
	})
	p.action("POST /do/silences", func(v *visit) (outcome, error) {
		until, err := untilField(v, "for")
		if err != nil {
			return outcome{}, err
		}
		if until.IsZero() {
			return outcome{}, errEmpty("say how long the silence lasts")
		}
		s, err := v.api.Silence(v.ctx, api.SilenceRequest{
			Workflow: v.field("workflow"), Check: v.field("check"), Reason: v.field("reason"), Severity: jobs.Severity(v.field("severity")),
			All: v.field("all") != "", Why: v.field("why"), Until: until,
		})
		return outcome{text: "silenced: " + silencedWords(s)}, err
	})
	p.action("POST /do/silences/{id}/end", func(v *visit) (outcome, error) {
		return outcome{text: "the silence has ended: of what is still open, people are told"}, v.api.EndSilence(v.ctx, v.PathValue("id"))
	})
	p.action("POST /do/notices/{id}/retry", func(v *visit) (outcome, error) {
		return outcome{text: "the notice is due now"}, v.api.RetryNotice(v.ctx, v.PathValue("id"))
	})
	p.action("POST /do/notices/{id}/drop", func(v *visit) (outcome, error) {
		return outcome{text: "the notice is given up"}, v.api.DropNotice(v.ctx, v.PathValue("id"), v.field("reason"))
	})
}

// field is what a form says, without space around it.
func (v *visit) field(name string) string { return strings.TrimSpace(v.PostForm.Get(name)) }

func errEmpty(text string) error { return api.NewProblem(api.CodeInvalid, "", text) }

// untilField reads how long something lasts; an empty field is the zero time.
func untilField(v *visit, name string) (time.Time, error) {
	text := v.field(name)
	if text == "" {
		return time.Time{}, nil
	}
	d, err := unit.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("it must be above 0")
	}
	if err != nil {
		return time.Time{}, api.NewProblem(api.CodeInvalid, "write a duration such as 30m, 2h or 3d", "for how long? "+err.Error())
	}
	return v.now.Add(d), nil
}
