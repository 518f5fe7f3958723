package pages

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// outboxShown is how many notices the page of the system lists.
	outboxShown = 50
	// systemEvery is how often the page of the system is fetched again.
	systemEvery = 15 * time.Second
)

// systemView is the page of the daemon itself.
type systemView struct {
	Tone               tone
	Glyph              string
	Headline, Sentence string
	Admin, MayAct      bool
	About              factsView
	Draining           bool
	Needs              []needRow
	Disk               *meterView
	DiskText           string
	Members            membersView
	// Processes are those on record that execute runs, when there are others than
	// the daemon itself; Gone are those that are no more and not shown.
	Processes  []instanceRow
	Gone       int
	Locks      []lockRow
	MoreLocks  string
	Outbox     noticeTable
	OutboxText string
	Silences   silenceTable
	Levels     []levelRow
	Words      []string
}

// needRow is one thing that the daemon needs.
type needRow struct {
	Name, Text string
	State      badge
}

// instanceRow is one instance that executes runs.
type instanceRow struct {
	Name, Host, Version, Command, Labels string
	PID                                  int
	Since                                time.Time
	State                                badge
}

// levelRow is the level of a logger.
type levelRow struct {
	Logger, Level, Configured string
	Changed                   bool
	Until                     *time.Time
}

func (p *Pages) registerSystem() {
	p.page("GET /system", p.system)
	p.page("GET /system/config", p.systemConfig)
	p.action("POST /do/system/drain", func(v *visit) (outcome, error) {
		drain, err := v.api.Drain(v.ctx, false, 0)
		return outcome{text: fmt.Sprintf("nothing more starts; %s under way", count(drain.Running, "run"))}, err
	})
	p.action("POST /do/system/undrain", func(v *visit) (outcome, error) {
		_, err := v.api.Undrain(v.ctx)
		return outcome{text: "runs start again"}, err
	})
	p.action("POST /do/system/reload", reloadConfig)
	p.action("POST /do/nodes/{name}/forget", forgetNode)
	p.action("POST /do/system/level", func(v *visit) (outcome, error) {
		lasts := time.Duration(0)
		if text := v.field("for"); text != "" {
			d, err := unit.ParseDuration(text)
			if err != nil {
				return outcome{}, api.NewProblem(api.CodeInvalid, "write a duration such as 30m", "for how long? "+err.Error())
			}
			lasts = d
		}
		_, err := v.api.SetLogLevel(v.ctx, v.field("logger"), v.field("level"), lasts)
		return outcome{text: "it logs at the level " + v.field("level") + " now"}, err
	})
	p.action("POST /do/system/level/reset", func(v *visit) (outcome, error) {
		_, err := v.api.ResetLogLevel(v.ctx, v.field("logger"))
		return outcome{text: "the configured level holds again"}, err
	})
}

// reloadConfig loads the configuration anew. A file that does not load is no
// error of the API, and one for whoever asked.
func reloadConfig(v *visit) (outcome, error) {
	done, err := v.api.Reload(v.ctx)
	switch {
	case err != nil:
		return outcome{}, err
	case done.Config.State == api.ConfigDegraded:
		return outcome{}, api.NewProblem(api.CodeInvalid, "the last good one stays in force: "+strings.Join(done.Problems, "; "), "the file does not load: "+done.Config.Reason)
	case !done.Changed:
		return outcome{text: "nothing has changed in the configuration"}, nil
	}
	return outcome{text: "another configuration is in force now"}, nil
}

func (p *Pages) system(v *visit) (page, error) {
	status, err := v.api.Status(v.ctx)
	if err != nil {
		return page{}, err
	}
	health, err := v.api.Health(v.ctx)
	if err != nil {
		return page{}, err
	}
	nodes, err := v.api.Nodes(v.ctx)
	if err != nil {
		return page{}, err
	}
	owed, err := v.api.Notices(v.ctx, runner.NoticeFilter{States: []runner.NoticeState{runner.NoticePending, runner.NoticeSending, runner.NoticeDead}, Limit: outboxShown})
	if err != nil {
		return page{}, err
	}
	silences, err := v.api.Silences(v.ctx, false)
	if err != nil {
		return page{}, err
	}
	who, zone := p.o.Who(v.ctx), v.zone("")
	view := newSystemView(status, health, v.now)
	view.Admin, view.MayAct, view.About.Zone = who.Admin, who.Operator, zone
	if view.Members, err = p.members(v, status.Node); err != nil {
		return page{}, err
	}
	view.attend()
	locks, err := v.api.Locks(v.ctx)
	if err != nil {
		return page{}, err
	}
	view.Locks, view.MoreLocks = lockRows(locks)
	if rows, gone := newInstanceRows(nodes, status.PID); len(rows) > 1 {
		view.Processes, view.Gone = rows, gone
	}
	view.Outbox = noticeTable{Label: "The outbox", Zone: zone, May: who.Operator, Back: "/system#outbox"}
	for _, n := range owed {
		view.Outbox.Rows = append(view.Outbox.Rows, newNoticeRow(api.NewNotice(n), true))
	}
	view.Silences = silenceTable{Zone: zone, May: who.Operator, Back: "/system"}
	for _, s := range silences {
		view.Silences.Rows = append(view.Silences.Rows, newSilenceRow(s, v.now))
	}
	// Who may not see the levels sees none.
	if levels, err := v.api.LogLevels(v.ctx); err == nil {
		for _, l := range levels {
			view.Levels = append(view.Levels, levelRow{Logger: l.Logger, Level: l.Level, Configured: l.Configured, Changed: l.Changed, Until: l.Until})
		}
	}
	return page{sheet: "system", title: "System", nav: "system", refresh: systemEvery, data: view}, nil
}

// members are the nodes, with what they run.
func (p *Pages) members(v *visit, here string) (membersView, error) {
	list, err := v.api.Members(v.ctx)
	if err != nil || len(list) < 2 {
		return membersView{}, err
	}
	running, err := v.api.RunPage(v.ctx, runner.Filter{States: []runner.State{runner.Running}, Limit: mostRunning}, false)
	if err != nil {
		return membersView{}, err
	}
	return membersOf(list, running.Runs, here, p.o.Who(v.ctx).Admin, v.now), nil
}

// attend makes what is wrong with nodes part of the first line, when nothing
// graver is.
func (view *systemView) attend() {
	if view.Tone != toneGood || len(view.Members.Rows) == 0 {
		return
	}
	view.Sentence += " " + view.Members.Sentence + "."
	for _, m := range view.Members.Rows {
		if m.State.Tone == toneBad || m.Drift {
			view.Tone, view.Glyph, view.Headline = toneWarn, "!", "This node has all it needs; the nodes want a look"
			return
		}
	}
}

func newSystemView(s api.Status, h api.Health, now time.Time) systemView {
	view := systemView{Draining: s.Draining, OutboxText: outboxWords(s.Outbox), Words: []string{"debug", "info", "warn", "error"}}
	var bad []string
	for _, c := range h.Checks {
		row := needRow{Name: c.Name, Text: c.Text, State: badge{Tone: toneGood, Glyph: "✓", Word: "ok"}}
		switch {
		case !c.OK && c.Fatal:
			row.State = badge{Tone: toneBad, Glyph: "✗", Word: "missing"}
		case !c.OK:
			row.State = badge{Tone: toneWarn, Glyph: "!", Word: "degraded"}
		}
		if !c.OK {
			bad = append(bad, c.Text)
		}
		view.Needs = append(view.Needs, row)
	}
	view.Sentence = strings.Join(bad, "; ")
	switch h.Status {
	case "failing":
		view.Tone, view.Glyph, view.Headline = toneBad, "✗", "The daemon cannot do its work"
	case "degraded":
		view.Tone, view.Glyph, view.Headline = toneWarn, "!", "The daemon works, with something missing"
	default:
		view.Tone, view.Glyph, view.Headline = toneGood, "✓", "The daemon has all it needs"
		view.Sentence = fmt.Sprintf("Up for %s, %s under way, %d waiting.", roughly(max(0, now.Sub(s.Since))), count(s.Running, "run"), s.Queued)
	}
	if s.Draining {
		view.Tone, view.Glyph, view.Headline = toneWarn, "‖", "Nothing more starts: it is drained"
	}
	view.About.Facts = systemFacts(s)
	if total := s.Disk.TotalBytes; total > 0 {
		used := int(100 * float64(total-s.Disk.FreeBytes) / float64(total))
		m := &meterView{Tone: toneGood, Percent: used, Text: fmt.Sprintf("%d %% used", used)}
		if used >= 85 {
			m.Tone = toneWarn
		}
		if used >= 95 || s.Disk.BallastReleased {
			m.Tone = toneBad
		}
		view.Disk, view.DiskText = m, bytesText(s.Disk.FreeBytes)+" of "+bytesText(total)+" are free at "+s.Disk.Path
		switch {
		case s.Disk.BallastReleased:
			view.DiskText += "; the ballast was given up, and no run starts before there is room"
		case s.Disk.BallastBytes > 0:
			view.DiskText += "; a ballast of " + bytesText(s.Disk.BallastBytes) + " is kept for when it is full"
		}
	}
	return view
}

func systemFacts(s api.Status) []fact {
	facts := []fact{
		{Name: "Node", Text: s.Node},
		{Name: "Host", Text: s.Host},
		{Name: "Process", Text: fmt.Sprint(s.PID)},
		{Name: "Version", Text: s.Version},
		{Name: "Started", At: &s.Since},
		{Name: "Configuration", Text: s.Config.Path, Links: []link{{"/system/config", "read it"}}},
		{Name: "Loaded", At: &s.Config.LoadedAt},
		{Name: "Digest", Text: short(s.Config.Digest)},
	}
	if s.Config.State == api.ConfigDegraded {
		facts = append(facts, fact{Name: "The file no longer loads", Text: s.Config.Reason})
	}
	if s.Ticker.LastAt != nil {
		facts = append(facts, fact{Name: "Looked for due slots", At: s.Ticker.LastAt})
	}
	if s.Ticker.LagSeconds > 0 {
		facts = append(facts, fact{Name: "The last slot was late by", Text: tookSeconds(s.Ticker.LagSeconds)})
	}
	if s.Ticker.Error != "" {
		facts = append(facts, fact{Name: "The clock", Text: s.Ticker.Error})
	}
	return facts
}

func outboxWords(o api.OutboxStatus) string {
	switch {
	case o.Pending == 0 && o.Dead == 0:
		return "nothing is owed"
	case o.Dead == 0:
		return fmt.Sprintf("%d owed", o.Pending)
	}
	return fmt.Sprintf("%d owed, %d given up", o.Pending, o.Dead)
}

// newInstanceRows are the nodes that are alive, and the latest that are not; gone
// is how many more there were.
func newInstanceRows(nodes []api.Node, pid int) (rows []instanceRow, gone int) {
	const mostGone = 3
	dead := 0
	for _, n := range slices.Backward(nodes) {
		row := instanceRow{
			Name: n.Name, Host: n.Host, PID: n.PID, Version: n.Version, Command: n.Command, Labels: strings.Join(n.Labels, ", "), Since: n.RegisteredAt,
			State: badge{Tone: toneGood, Glyph: "✓", Word: "alive"},
		}
		if !n.Alive {
			row.State = badge{Tone: toneIdle, Glyph: "–", Word: "gone"}
			if dead++; dead > mostGone {
				gone++
				continue
			}
		} else if n.PID == pid {
			row.State.Word = "alive, answers here"
		}
		rows = append(rows, row)
	}
	return rows, gone
}

// configView is the page of the configuration.
type configView struct {
	About    factsView
	State    badge
	Text     string
	Warnings []string
	Files    []string
}

func (p *Pages) systemConfig(v *visit) (page, error) {
	c, err := v.api.Config(v.ctx)
	if err != nil {
		return page{}, err
	}
	view := configView{Text: c.Text, Warnings: c.Warnings, Files: c.Files, State: badge{Tone: toneGood, Glyph: "✓", Word: "in force"}}
	view.About = factsView{Zone: v.zone(""), Facts: []fact{
		{Name: "Project", Text: c.Project}, {Name: "Node", Text: c.Node}, {Name: "Loaded", At: &c.LoadedAt}, {Name: "Digest", Text: c.Digest},
	}}
	if c.State == api.ConfigDegraded {
		view.State = badge{Tone: toneWarn, Glyph: "!", Word: "the last good one is in force"}
		view.About.Facts = append(view.About.Facts, fact{Name: "Why", Text: c.Reason})
	}
	return page{sheet: "config", title: "Configuration", nav: "system", data: view}, nil
}
