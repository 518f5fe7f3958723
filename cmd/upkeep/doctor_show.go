package main

import (
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health/doctor"
	"github.com/ghosteam/upkeep/jobs"
)

// tellReport shows what the doctor found.
func (a *app) tellReport(r *doctor.Report, details bool) error {
	if a.format == formatJSON {
		return writeJSON(a.std.Out, r)
	}
	p := a.painter(a.std.Out)
	about := r.Project
	if about == "" {
		about = "upkeep"
	}
	fmt.Fprintf(a.std.Out, "%s on %s: %s\n", p.bold(oneLine(about, 0)), oneLine(r.Host, 0), verdictLine(p, r))
	for _, f := range r.Findings {
		fmt.Fprintf(a.std.Out, "\n%s  %s\n", severityWord(p, f.Severity), p.bold(f.Section)+": "+oneLine(f.Text, 0))
		fmt.Fprintf(a.std.Out, "          %s\n", oneLine(f.Means, 0))
		if f.Next != "" {
			fmt.Fprintf(a.std.Out, "          next: %s\n", oneLine(f.Next, 0))
		}
	}
	if len(r.Unseen) > 0 {
		fmt.Fprintf(a.std.Out, "\n%s\n", p.bold("not seen:"))
		for _, u := range r.Unseen {
			fmt.Fprintf(a.std.Out, "  %s: %s: %s\n", u.Section, oneLine(u.What, 0), oneLine(u.Why, 0))
		}
	}
	fmt.Fprintln(a.std.Out)
	var rows [][]string
	for _, s := range r.Sections {
		rows = append(rows, []string{s.Name, stateWord(p, s.State), unit.Took(seconds(s.TookSeconds)), oneLine(s.Summary, mostError)})
		if !details {
			continue
		}
		for _, l := range s.Lines {
			rows = append(rows, []string{"", "", "", "  " + oneLine(l, 0)})
		}
	}
	if err := writeTable(a.std.Out, []string{"SECTION", "STATE", "TOOK", "WHAT"}, rows); err != nil {
		return err
	}
	if next := r.Next(); len(next) > 0 {
		fmt.Fprintf(a.std.Out, "\nwhat comes next: %s\n", oneLine(next[0], 0))
	}
	return nil
}

// verdictLine is the verdict with its numbers.
func verdictLine(p painter, r *doctor.Report) string {
	var parts []string
	if n := r.Broken(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d broken", n))
	}
	if n := r.Warned(); n > 0 {
		parts = append(parts, count(n, "warning"))
	}
	if n := len(r.Unseen); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not seen", n))
	}
	word := string(r.Verdict)
	switch r.Verdict {
	case doctor.Broken:
		word = p.red(word)
	case doctor.Warnings:
		word = p.yellow(word)
	case doctor.Well:
		word = "nothing is wrong"
	}
	if len(parts) == 0 {
		return word
	}
	return word + " (" + strings.Join(parts, ", ") + ")"
}

func severityWord(p painter, s jobs.Severity) string {
	switch s {
	case jobs.Critical:
		return p.red("BROKEN  ")
	case jobs.Warning:
		return p.yellow("WARNING ")
	case jobs.Info:
	}
	return p.faint("INFO    ")
}

func stateWord(p painter, s doctor.State) string {
	switch s {
	case doctor.Critical:
		return p.red(string(s))
	case doctor.Warning, doctor.Unknown:
		return p.yellow(string(s))
	case doctor.Healthy:
	}
	return string(s)
}
