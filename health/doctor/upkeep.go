package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// Config is how the configuration is.
type Config struct {
	Path, Project, Node, Digest string
	Files                       []ConfigFile
	// Errors and Warnings are problems, one line each; Unset are references
	// without a value here and now.
	Errors, Warnings, Unset []string
	// Unopened says what could not be opened, by family and name.
	Unopened map[string]string `json:",omitempty"`
	// Holds names what it holds, by family.
	Holds map[string][]string `json:",omitempty"`
}

// ConfigFile is a file of the configuration, or one that it takes a secret from.
type ConfigFile struct {
	Path   string
	Mode   fs.FileMode
	Secret bool
	Error  string `json:",omitempty"`
}

// Configuration returns the step that looks at the configuration.
func Configuration(look func(ctx context.Context) (Config, error)) Step {
	return Step{Name: "config", Title: "the configuration", Look: func(ctx context.Context) (Found, error) {
		c, err := look(ctx)
		if err != nil {
			return Found{}, err
		}
		f := Found{Facts: c, Findings: c.judge(), Summary: fmt.Sprintf("%s: %d errors, %d warnings", c.Path, len(c.Errors)+len(c.Unset), len(c.Warnings))}
		for _, list := range [][]string{c.Errors, c.Unset, c.Warnings} {
			f.Lines = append(f.Lines, list...)
		}
		for _, file := range c.Files {
			f.Lines = append(f.Lines, fmt.Sprintf("%s %s", file.Mode.Perm(), file.Path))
		}
		return f, nil
	}}
}

// judge says what is wrong with the configuration.
func (c Config) judge() []Finding {
	var out []Finding
	first := func(list []string) string {
		if len(list) == 1 {
			return list[0]
		}
		return fmt.Sprintf("%s (and %d more)", list[0], len(list)-1)
	}
	if len(c.Errors) > 0 {
		out = append(out, Finding{
			ID: "invalid", Severity: jobs.Critical, Text: "the configuration has errors: " + first(c.Errors),
			Means: "a service that runs goes on with the one before, one that starts does not", Next: "upkeep validate",
		})
	}
	if len(c.Unset) > 0 {
		out = append(out, Finding{
			ID: "unset", Severity: jobs.Warning, Text: "references have no value here: " + first(c.Unset),
			Means: "what needs them cannot be looked at from this shell; the service may have them", Next: "upkeep validate --no-preflight",
		})
	}
	for what, why := range c.Unopened {
		out = append(out, Finding{
			ID: "unopened:" + jobs.FindingIDFrom(what), Severity: jobs.Warning, Text: fmt.Sprintf("%s cannot be opened: %s", what, why),
			Means: "what uses it fails", Next: "upkeep validate",
		})
	}
	if len(c.Warnings) > 0 {
		out = append(out, Finding{
			ID: "lint", Severity: jobs.Info, Text: fmt.Sprintf("%d things in the configuration are legal and look like mistakes: %s", len(c.Warnings), first(c.Warnings)),
			Means: "they may be meant so", Next: "upkeep validate --no-preflight",
		})
	}
	for _, f := range c.Files {
		out = append(out, f.judge()...)
	}
	return out
}

// judge says what is wrong with a file.
func (f ConfigFile) judge() []Finding {
	const othersWrite, othersRead, groupWrite = 0o002, 0o004, 0o020
	finding := Finding{ID: "mode:" + jobs.FindingIDFrom(f.Path), Severity: jobs.Warning, Next: "chmod 600 " + quoted(f.Path)}
	switch {
	case f.Error != "":
		return nil // it stands among the errors, or nobody needs it
	case f.Mode&othersWrite != 0:
		finding.Severity, finding.Text, finding.Means = jobs.Critical, f.Path+" can be written by everybody", "everybody on this machine can have upkeep run what they like"
		finding.Next = "chmod go-w " + quoted(f.Path)
	case f.Secret && f.Mode&(othersRead|groupWrite) != 0:
		finding.Text, finding.Means = f.Path+" holds a secret and can be read by everybody, or written by a group", "others on this machine know it"
	default:
		return nil
	}
	return []Finding{finding}
}

// Daemon is how the process that holds the ledger is.
type Daemon struct {
	// Answers tells that one answers on the socket; Error why none does.
	Answers bool
	Socket  string
	Error   string `json:",omitempty"`
	// Silent tells that one is there and does not answer.
	Silent                       bool
	PID                          int
	Host, Node, Version, Command string
	Since                        time.Time
	Draining                     bool
	// Degraded is why the configuration on disk is not in force; empty when it
	// is.
	Degraded        string `json:",omitempty"`
	Running, Queued int
	// Problems are what the process says is wrong with itself.
	Problems []Trouble `json:",omitempty"`
	// Scheduled is how many workflows should run by themselves; Served tells that
	// a service has run them before.
	Scheduled int
	Served    bool
	// Ours is the version of this program.
	Ours string
	// Unit is the service of systemd in which it runs, or "".
	Unit string
}

// Trouble is something that a process says is wrong with itself.
type Trouble struct {
	Name, Text string
	Fatal      bool
}

// Service returns the step that looks at the daemon.
func Service(look func(ctx context.Context) (Daemon, error)) Step {
	return Step{Name: "service", Title: "the process that runs the schedule", Look: func(ctx context.Context) (Found, error) {
		d, err := look(ctx)
		if err != nil {
			return Found{}, err
		}
		f := Found{Facts: d, Findings: d.judge(), Summary: "none runs"}
		if d.Answers {
			f.Summary = fmt.Sprintf("pid %d on %s, version %s, since %s", d.PID, d.Host, d.Version, d.Since.UTC().Format(time.RFC3339))
			f.Lines = append(f.Lines, fmt.Sprintf("%s, %d running, %d queued", f.Summary, d.Running, d.Queued))
		}
		return f, nil
	}}
}

// judge says what is wrong with the daemon.
func (d Daemon) judge() []Finding {
	var out []Finding
	add := func(id string, s jobs.Severity, text, means, next string) {
		out = append(out, Finding{ID: id, Severity: s, Text: text, Means: means, Next: next})
	}
	start := "upkeep serve"
	if d.Unit != "" {
		start = "systemctl restart " + d.Unit
	}
	switch {
	case d.Silent:
		add("silent", jobs.Critical, "the process that holds the ledger does not answer: "+d.Error, "it hangs, or this user may not ask it", start)
		return out
	case d.Error != "":
		add("unasked", jobs.Warning, "the service cannot be asked: "+d.Error, "whether it is well is not known", "sudo upkeep doctor")
		return out
	case !d.Answers && d.Scheduled > 0 && d.Served:
		add("down", jobs.Critical, fmt.Sprintf("no service runs, and %d workflows should run by themselves", d.Scheduled), "nothing runs on schedule, and nobody is told of anything", start)
		return out
	case !d.Answers && d.Scheduled > 0:
		add("down", jobs.Warning, fmt.Sprintf("no service has ever run here, and %d workflows have a schedule", d.Scheduled), "nothing runs by itself", start)
		return out
	case !d.Answers:
		return nil
	}
	if d.Version != d.Ours {
		add("version", jobs.Warning, fmt.Sprintf("the service runs version %s, and this program is %s", d.Version, d.Ours), "it was updated, and the service was not restarted", start)
	}
	if d.Degraded != "" {
		add("degraded", jobs.Critical, "the configuration on disk was refused, the one before stays in force: "+d.Degraded, "what was changed last is not in force, and the service does not start again with it", "upkeep validate")
	}
	if d.Draining {
		add("drained", jobs.Warning, "the service is drained: nothing new starts", "somebody wanted that for a while", "upkeep drain --end")
	}
	for _, t := range d.Problems {
		if t.Name == "config" && d.Degraded != "" || t.Name == "drain" && d.Draining {
			continue // said above
		}
		s := jobs.Warning
		if t.Fatal {
			s = jobs.Critical
		}
		add("trouble:"+jobs.FindingIDFrom(t.Name), s, fmt.Sprintf("the service says of its %s: %s", t.Name, t.Text), "it cannot do all of its work", "upkeep doctor --details")
	}
	return out
}

// Ledger is how the ledger is.
type Ledger struct {
	Address, Dialect string
	// Missing tells that there is none yet.
	Missing bool
	// Error is why it cannot be read.
	Error string `json:",omitempty"`
	// Damage is what is wrong inside, one line each; Checked that somebody looked.
	Damage  []string `json:",omitempty"`
	Checked bool
	// Bytes is its size, LogBytes that of what is not merged yet.
	Bytes, LogBytes int64
	// Free is the room beside it, Ballast and BallastWanted the length of the
	// file that is given up when there is none; all 0 for a server.
	Free, Ballast, BallastWanted int64
}

// ledgerPatience is how long the ledger may take: its integrity is looked at.
const ledgerPatience = 20 * time.Second

// LedgerState returns the step that looks at the ledger itself.
func LedgerState(look func(ctx context.Context) (Ledger, error)) Step {
	return Step{Name: "ledger", Title: "the ledger", Within: ledgerPatience, Look: func(ctx context.Context) (Found, error) {
		l, err := look(ctx)
		if err != nil {
			return Found{}, err
		}
		f := Found{Facts: l, Findings: l.judge(), Lines: l.Damage, Summary: fmt.Sprintf("%s, %s", l.Address, humanize.IBytes(bytesOf(l.Bytes)))}
		switch {
		case l.Missing:
			f.Summary = l.Address + ": nothing has run yet"
		case l.Error != "":
			f.Summary = l.Address + " cannot be read"
		case l.Dialect == "sqlite":
			f.Summary += fmt.Sprintf(", %s free beside it", humanize.IBytes(bytesOf(l.Free)))
		}
		return f, nil
	}}
}

func bytesOf(n int64) uint64 { return uint64(max(n, 0)) }

// judge says what is wrong with the ledger.
func (l Ledger) judge() []Finding {
	var out []Finding
	const largeLog = 1 << 30
	restore := "upkeep backup list"
	switch {
	case l.Missing:
		return nil
	case l.Error != "" && strings.Contains(l.Error, "damaged"):
		out = append(out, Finding{ID: "damaged", Severity: jobs.Critical, Text: "the ledger cannot be read: " + l.Error, Means: "stop upkeep, keep a copy of the file with its -wal and -shm, and restore a backup", Next: restore})
	case l.Error != "":
		out = append(out, Finding{ID: "unreadable", Severity: jobs.Critical, Text: "the ledger cannot be read: " + l.Error, Means: "nothing that ran can be shown, and nothing can run", Next: "ls -la " + quoted(l.Address)})
	case len(l.Damage) > 0:
		out = append(out, Finding{
			ID: "damaged", Severity: jobs.Critical, Text: fmt.Sprintf("the ledger's file is damaged: %s", l.Damage[0]),
			Means: "stop upkeep, keep a copy of the file with its -wal and -shm, and restore a backup", Next: restore,
		})
	}
	if l.LogBytes > largeLog {
		out = append(out, Finding{
			ID: "log", Severity: jobs.Warning, Text: fmt.Sprintf("%s of the ledger are not merged yet", humanize.IBytes(bytesOf(l.LogBytes))),
			Means: "somebody has kept it open for reading for long", Next: "fuser -v " + quoted(l.Address),
		})
	}
	if l.Dialect == "sqlite" && l.Error == "" && l.BallastWanted > 0 && l.Ballast < l.BallastWanted {
		out = append(out, Finding{
			ID: "ballast", Severity: jobs.Info, Text: fmt.Sprintf("the ballast beside the ledger has %s of %s", humanize.IBytes(bytesOf(l.Ballast)), humanize.IBytes(bytesOf(l.BallastWanted))),
			Means: "it was given up on a full disk, or no service has made it yet", Next: "df -h " + quoted(l.Address),
		})
	}
	return out
}
