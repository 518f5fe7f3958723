package pages

import (
	"net/url"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// auditPage is how many lines of the audit stand on a page.
const auditPage = 100

// accessView is the page of who may use upkeep, and what they did.
type accessView struct {
	Tokens []tokenRow
	Made   *tokenMade
	Ends   []tab
	Rows   []actionRow
	Pager  pagerView
	Only   string
	All    string
}

// tokenRow is a token without its text.
type tokenRow struct {
	ID, Path, Name, Role, By string
	State                    badge
	CreatedAt                time.Time
	Expires, Used            time.Time
	InUse                    bool
}

// tokenMade is a new token, whose text is shown this once.
type tokenMade struct{ Name, Role, Text string }

// actionRow is a line of the audit.
type actionRow struct {
	ID                             string
	At                             time.Time
	End                            badge
	Who, WhoHref, How, What, About string
	Status, Count                  int
}

func (p *Pages) registerAccess() {
	p.page("GET /system/access", func(v *visit) (page, error) { return accessPage(v, nil) })
	p.page("POST /do/tokens", func(v *visit) (page, error) {
		if err := v.ParseForm(); err != nil {
			return page{}, errUnreadable
		}
		request := api.TokenRequest{Name: v.field("name"), Role: runner.Role(v.field("role"))}
		if text := v.field("for"); text != "" {
			d, err := unit.ParseDuration(text)
			if err != nil {
				return page{}, api.NewProblem(api.CodeInvalid, "write a duration such as 90d", "for how long? "+err.Error())
			}
			ends := v.now.Add(d)
			request.ExpiresAt = &ends
		}
		made, err := v.api.CreateToken(v.ctx, request)
		if err != nil {
			return page{}, err
		}
		return accessPage(v, &tokenMade{Name: made.Name, Role: string(made.Role), Text: made.Text})
	})
	p.action("POST /do/tokens/{id}/revoke", func(v *visit) (outcome, error) {
		t, err := v.api.RevokeToken(v.ctx, v.PathValue("id"))
		return outcome{to: "/system/access", text: "the token of " + t.Name + " counts no more"}, err
	})
}

func accessPage(v *visit, made *tokenMade) (page, error) {
	tokens, err := v.api.Tokens(v.ctx)
	if err != nil {
		return page{}, err
	}
	f := runner.ActionFilter{Who: v.query("who"), What: v.query("what"), End: runner.ActionEnd(v.query("end")), Before: v.query("before"), Limit: auditPage + 1}
	actions, err := v.api.Actions(v.ctx, f)
	if err != nil {
		return page{}, err
	}
	view := accessView{Made: made}
	for _, t := range tokens {
		view.Tokens = append(view.Tokens, newTokenRow(t, v.now))
	}
	if f.Before != "" {
		view.Pager.First = v.with("before", "")
	}
	if len(actions) > auditPage {
		actions = actions[:auditPage]
		view.Pager.Next = v.with("before", actions[auditPage-1].ID)
	}
	for _, a := range actions {
		row := newActionRow(a)
		if a.Who != "" {
			row.WhoHref = "/system/access?" + url.Values{"who": {a.Who}}.Encode()
		}
		view.Rows = append(view.Rows, row)
	}
	for _, end := range []string{"", "done", "refused", "failed"} {
		view.Ends = append(view.Ends, tab{Text: map[bool]string{true: "all", false: end}[end == ""], Href: v.with("end", end, "before", ""), Current: string(f.End) == end})
	}
	if f.Who != "" || f.What != "" {
		view.Only, view.All = strings.TrimSpace(f.Who+" "+f.What), v.with("who", "", "what", "", "before", "")
	}
	return page{sheet: "access", title: "Tokens and audit", nav: "system", data: view}, nil
}

func newTokenRow(t runner.Token, now time.Time) tokenRow {
	row := tokenRow{
		ID: t.ID, Path: url.PathEscape(t.ID), Name: t.Name, Role: string(t.Role), By: t.By, CreatedAt: t.CreatedAt, Expires: t.ExpiresAt, Used: t.UsedAt,
		InUse: t.Valid(now), State: badge{Tone: toneGood, Glyph: "✓", Word: "in use"},
	}
	switch {
	case !t.RevokedAt.IsZero():
		row.State = badge{Tone: toneIdle, Glyph: "■", Word: "taken back"}
	case !row.InUse:
		row.State = badge{Tone: toneIdle, Glyph: "–", Word: "expired"}
	}
	return row
}

func newActionRow(a runner.Action) actionRow {
	row := actionRow{
		ID: a.ID, At: a.At, Who: a.Who, What: strings.ReplaceAll(a.What, "-", " "), About: a.Subject, Status: a.Status, Count: a.Count,
		End: badge{Tone: toneGood, Glyph: "✓", Word: string(a.End)},
	}
	var how []string
	for _, part := range []string{string(a.Role), a.Means, a.Via, a.From} {
		if part != "" && part != row.Who {
			how = append(how, part)
		}
	}
	row.How = strings.Join(how, " · ")
	switch a.End {
	case runner.ActionDone:
	case runner.ActionRefused:
		row.End.Tone, row.End.Glyph = toneBad, "✗"
	case runner.ActionFailed:
		row.End.Tone, row.End.Glyph = toneWarn, "!"
	}
	return row
}
