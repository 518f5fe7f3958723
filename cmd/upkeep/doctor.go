package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health/doctor"
	"github.com/ghosteam/upkeep/jobs"
)

// doctorFlags are the flags of upkeep doctor.
type doctorFlags struct {
	bundle  string
	show    bool
	details bool
	since   string
}

func newDoctor(a *app) *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong, and what to do next",
		Long: `Look at everything that somebody looks at by hand when something is wrong, all at once,
and say what it means, the worst first, with the command that comes next: the processes
that use most, memory and kills for want of it, disks, inodes and mounts, load, the clock,
the configuration and its secrets, the service, the ledger, every check with the times of
its steps (dns, connect, tls, auth, query), what goes on in PostgreSQL and Redis, the units
that jobs restart, certificates, the last run of every workflow, the stores, what is owed
to channels, open incidents, what changed lately, and the end of upkeep's own log.

It changes nothing, works with a service and without one, with a configuration that has
errors and with a ledger that cannot be opened, and says what it could not see. Every look
has a deadline of its own.

--bundle packs all of it for somebody else (tar.gz, readable by its owner alone, at most 50
MiB before it is compressed, with a manifest). Secrets of the configuration and what looks
like one (passwords in URLs, tokens, private keys, headers that authorize) are taken out;
--show lists what would leave, without writing anything.

It ends with 0 when nothing is wrong, 5 when there are warnings, 1 when something is broken.`,
		Example: "  upkeep doctor\n  upkeep doctor --details\n  upkeep doctor -o json | jq .findings\n" +
			"  upkeep doctor --bundle incident-41.tar.gz --show\n  upkeep doctor --bundle incident-41.tar.gz",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.diagnose(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	a.format = formatTable
	flags.VarP(oneOf(&a.format, formatTable, formatJSON), "output", "o", "table or json")
	completeFlag(cmd, "output", completeWords([]format{formatTable, formatJSON}))
	flags.StringVar(&f.bundle, "bundle", "", "pack all that was found into this `FILE`")
	flags.BoolVar(&f.show, "show", false, "list what the bundle would hold, and write nothing")
	flags.BoolVar(&f.details, "details", false, "show all that was found, not only what is wrong")
	flags.StringVar(&f.since, "since", "24h", "how far to look back for changes and lost notices (`DURATION`)")
	return cmd
}

func (a *app) diagnose(ctx context.Context, f doctorFlags) error {
	if a.farServer() != "" {
		return errHere()
	}
	since, err := unit.ParseDuration(f.since)
	if err != nil || since <= 0 {
		return usagef("--since: %q is not a time such as 24h", f.since)
	}
	if err := vacant(f.bundle); err != nil && !f.show {
		return err
	}
	p := a.patient(since)
	show, done := a.doctorProgress()
	examination := p.examination(ctx)
	examination.Progress = show
	report := examination.Run(ctx)
	done()
	p.close(a)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for i := range report.Findings {
		// As this program was called, so that it can be pasted.
		if rest, ours := strings.CutPrefix(report.Findings[i].Next, "upkeep "); ours {
			report.Findings[i].Next = a.again(rest)
		}
	}
	if f.bundle != "" || f.show {
		if err := a.bundle(report, f); err != nil {
			return err
		}
	}
	if !f.show {
		if err := a.tellReport(report, f.details); err != nil {
			return err
		}
	}
	switch report.Verdict {
	case doctor.Broken:
		return &findingsFound{count: report.Broken()}
	case doctor.Warnings:
		return &warnedError{count: report.Warned()}
	case doctor.Well:
	}
	return nil
}

// vacant refuses to write over what is there, such as a configuration.
func vacant(bundle string) error {
	if bundle == "" {
		return nil
	}
	_, err := os.Lstat(bundle)
	switch {
	case err == nil:
		return jobs.WithHint(&jobs.RefusedError{Rail: "bundle", Why: bundle + " exists already"}, "name a new file")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("look at %s: %w", bundle, err)
}

// bundle writes the bundle, or lists what it would hold.
func (a *app) bundle(report *doctor.Report, f doctorFlags) (err error) {
	b, err := doctor.Pack(report, doctor.MostBundled)
	if err != nil {
		return err
	}
	if f.show {
		return a.list(listBundle(b))
	}
	pending, err := renameio.NewPendingFile(f.bundle, renameio.WithStaticPermissions(0o600))
	if err != nil {
		return fmt.Errorf("write %s: %w", f.bundle, err)
	}
	defer func() { err = errors.Join(err, pending.Cleanup()) }()
	if err := b.Write(pending); err != nil {
		return fmt.Errorf("write %s: %w", f.bundle, err)
	}
	if err := vacant(f.bundle); err != nil {
		return err
	}
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write %s: %w", f.bundle, err)
	}
	fmt.Fprintf(a.std.Err, "wrote %s: %s; look into it before you send it: tar -xzOf %s | less\n", f.bundle, count(len(b.Files), "file"), unit.ShellWord(f.bundle))
	return nil
}

func listBundle(b *doctor.Bundle) listing {
	type file struct {
		Name  string `json:"name"`
		Bytes int    `json:"bytes"`
	}
	l := listing{columns: []string{"FILE", "SIZE"}}
	views := []file{}
	for _, f := range b.Files {
		views = append(views, file{b.Folder + "/" + f.Name, len(f.Content)})
		l.rows = append(l.rows, []string{b.Folder + "/" + f.Name, humanize.IBytes(uint64(len(f.Content)))})
	}
	l.data = views
	return l
}

// doctorProgress shows on a terminal what is waited for.
func (a *app) doctorProgress() (show func(ended string, waiting []string), done func()) {
	if a.format != formatTable || !isTerminal(a.std.Err) || a.dumb() {
		return nil, func() {}
	}
	const erase, mostShown = "\r\x1b[K", 4
	var mu sync.Mutex
	over, total := false, 0
	began := time.Now()
	show = func(_ string, waiting []string) {
		mu.Lock()
		defer mu.Unlock()
		if over || len(waiting) == 0 {
			return
		}
		total = max(total, len(waiting)+1)
		more := ""
		if len(waiting) > mostShown {
			more = fmt.Sprintf(" and %d more", len(waiting)-mostShown)
		}
		fmt.Fprintf(a.std.Err, "%slooked at %d of %d for %s, waiting for %s%s", erase, total-len(waiting), total, unit.Took(time.Since(began)), strings.Join(waiting[:min(mostShown, len(waiting))], ", "), more)
	}
	return show, func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		fmt.Fprint(a.std.Err, erase)
	}
}
