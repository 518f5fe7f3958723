package alertstest

import (
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// anyText draws a text: hostile ones, arbitrary bytes, arbitrary runes, and
// long ones of characters that grow when they are escaped.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(slices.DeleteFunc(Hostile(), func(s string) bool { return len(s) > 60_000 })),
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 400), func(b []byte) string { return string(b) }),
		rapid.Custom(func(t *rapid.T) string {
			part := rapid.SampledFrom([]string{"&", "<", "`", "``", "🔥", "*", "\n", "x", "&amp;", "@here ", "\u202e", "e\u0301"}).Draw(t, "part")
			return strings.Repeat(part, rapid.IntRange(0, 3500).Draw(t, "times"))
		}),
	)
}

func anyTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), 0).UTC()
	})
}

// Arbitrary draws a message in which every text may be anything.
func Arbitrary() *rapid.Generator[alerts.Message] {
	texts := anyText() // once: hostile texts are long
	return rapid.Custom(func(t *rapid.T) alerts.Message {
		text := func(label string) string { return texts.Draw(t, label) }
		actions := []runner.NoticeAction{
			runner.NoticeOpen, runner.NoticeResolve, runner.NoticeRemind, runner.NoticeTest, runner.NoticeWorse, runner.NoticeRepeat,
			runner.NoticeAck, runner.NoticeDigest, "unheard-of",
		}
		m := alerts.Message{
			ID: text("id"), Action: rapid.SampledFrom(actions).Draw(t, "action"), Combined: rapid.Bool().Draw(t, "combined"),
			Project: text("project"), Node: text("node"), At: anyTime().Draw(t, "at"), Title: text("title"), Text: text("text"),
		}
		if rapid.Bool().Draw(t, "incident") {
			m.Incident = anyIncident(texts).Draw(t, "incident")
		}
		if rapid.Bool().Draw(t, "run") {
			m.Run = &runner.Run{
				ID: runner.RunID(text("run")), Request: runner.Request{Spec: runner.Spec{Workflow: text("workflow")}, By: text("by")},
				State: runner.Failed, Message: text("message"), Node: text("ran on"), StartedAt: anyTime().Draw(t, "started"), FinishedAt: anyTime().Draw(t, "finished"),
			}
		}
		for range rapid.IntRange(0, 7).Draw(t, "failures") {
			f := alerts.Failure{Attempt: runner.Attempt{Job: text("job"), Kind: text("kind"), Error: text("error"), Hint: text("hint"), ExitCode: 1}}
			f.Output = rapid.SliceOfN(texts, 0, 10).Draw(t, "output")
			f.Cut = rapid.Bool().Draw(t, "cut")
			m.Failures = append(m.Failures, f)
		}
		for range rapid.IntRange(0, 4).Draw(t, "evidence") {
			m.Evidence = append(m.Evidence, runner.Evidence{Name: text("name"), Text: text("evidence")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			m.Changes = append(m.Changes, runner.Happening{Kind: text("kind"), Subject: text("subject"), Text: text("change"), At: anyTime().Draw(t, "changed")})
		}
		for range rapid.IntRange(0, 4).Draw(t, "commands") {
			m.Commands = append(m.Commands, alerts.Command{Does: text("does"), Line: text("line")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "items") {
			m.Items = append(m.Items, alerts.Item{Notice: text("notice"), Action: runner.NoticeOpen, Title: text("item"), Incident: anyIncident(texts).Draw(t, "of")})
		}
		return m
	})
}

func anyIncident(texts *rapid.Generator[string]) *rapid.Generator[*runner.Incident] {
	return rapid.Custom(func(t *rapid.T) *runner.Incident {
		text := func(label string) string { return texts.Draw(t, label) }
		return &runner.Incident{
			ID: text("id"), Count: rapid.IntRange(0, 1000).Draw(t, "count"),
			OpenedAt: anyTime().Draw(t, "opened"), ResolvedAt: anyTime().Draw(t, "resolved"),
			AckedBy: text("acked by"), AckedUntil: anyTime().Draw(t, "acked until"), Flapping: rapid.Bool().Draw(t, "flapping"),
			Fault: runner.Fault{
				Fingerprint: text("fingerprint"), Workflow: text("workflow"), Check: text("check"), Reason: text("reason"), Title: text("title"),
				Severity: rapid.OneOf(rapid.SampledFrom([]jobs.Severity{jobs.Info, jobs.Warning, jobs.Critical}), rapid.Map(texts, func(s string) jobs.Severity { return jobs.Severity(s) })).Draw(t, "severity"),
			},
		}
	})
}
