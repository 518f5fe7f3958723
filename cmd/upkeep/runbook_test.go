package main_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patient is something that listens on a port and can die, until a file called
// heal is there.
type patient struct {
	address  string
	listener net.Listener
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{}
	p.live(t, "127.0.0.1:0")
	p.address = p.listener.Addr().String()
	t.Cleanup(p.die)
	return p
}

func (p *patient) live(t *testing.T, address string) {
	t.Helper()
	var err error
	if p.listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", address); err != nil {
		t.Fatal(err)
	}
	go func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}(p.listener)
}

func (p *patient) die() { _ = p.listener.Close() }

// remedyShown is a run of a runbook as the command line shows it.
type remedyShown struct{ Run, Report, Outcome, Why string }

// runbookShown is a runbook as the command line shows it.
type runbookShown struct {
	Paused string
	Score  struct {
		Runs     int
		Fixed    int
		FixRate  *float64 `json:"fix_rate"`
		Relapsed int
	}
	Remedies []remedyShown
}

func (h *house) runbook(t *testing.T, name string) runbookShown {
	t.Helper()
	out, _ := h.upkeep(t, 0, "runbook", "show", name, "-o", "json")
	var v runbookShown
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return v
}

// outcome waits until the latest run of a runbook has an outcome, and this one.
func (h *house) outcome(t *testing.T, name, outcome string, runs int) runbookShown {
	t.Helper()
	var v runbookShown
	lookEvery(t, 200*time.Millisecond, fmt.Sprintf("run %d of %s is %s", runs, name, outcome), func() (bool, string) {
		v = h.runbook(t, name)
		return len(v.Remedies) == runs && v.Remedies[0].Outcome == outcome, fmt.Sprintf("%+v\n%s", v, h.told(t))
	})
	return v
}

// told is what runbooks put on record.
func (h *house) told(t *testing.T) string {
	t.Helper()
	out, _ := h.upkeep(t, 0, "event", "list", "--kind", "runbook", "-o", "json")
	return out
}

// open is how many incidents with a fingerprint are open.
func (h *house) open(t *testing.T, fingerprint string) int {
	t.Helper()
	return h.count(t, "SELECT count(*) FROM incidents WHERE state = 'open' AND fingerprint = '"+fingerprint+"'")
}

// ward is a configuration with a check of a patient and a runbook for it.
func ward(p *patient, limits, run string) string {
	return fmt.Sprintf(`
timezone: UTC
ballast: off
drain_timeout: 2s
kill_grace: 1s
checks:
  port: {kind: tcp, every: 1s, retry_every: 1s, fail_after: 2, ok_after: 1, impact: outage, with: {address: %q}}
workflows:
  mend:
    trigger: {check: port, error_kind: connect, for: 1s}
    limits: {%s}
    jobs:
      remedy: {kind: script, with: {run: %q}}
`, p.address, limits, run)
}

// A listener that dies is brought back by its runbook: one run, fixed, and the
// incident is over.
func TestRunbook_Fixes(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	h := newHouse(t, ward(p, "cooldown: 1s, max: 5/1h, grace: 10s", "touch heal"))
	d := h.serve(t)
	d.await(t, "upkeep serves")
	p.die()
	eventually(t, "the remedy is applied", func() (bool, string) { return h.has("heal"), d.said(t) })
	p.live(t, p.address)
	v := h.outcome(t, "mend", "fixed", 1)
	if v.Score.Fixed != 1 || v.Score.FixRate == nil || *v.Score.FixRate != 1 || !strings.Contains(v.Remedies[0].Report, "port is critical (connect)") {
		t.Errorf("it is shown as %+v", v)
	}
	eventually(t, "the incident is resolved", func() (bool, string) { return h.open(t, "check/port") == 0, d.said(t) })
	if n := h.count(t, "SELECT count(*) FROM incidents WHERE fingerprint = 'check/port'"); n != 1 {
		t.Errorf("%d incidents", n)
	}
	d.stop(t)
	if n := h.count(t, "SELECT count(*) FROM runs"); n != 1 {
		t.Errorf("%d runs", n)
	}
	if n := h.count(t, "SELECT count(*) FROM runs WHERE trigger = 'check' AND requested_by LIKE 'check port: port is critical (connect): %'"); n != 1 {
		t.Error("the run does not say what started it")
	}
	told := h.told(t)
	for _, want := range []string{"run " + v.Remedies[0].Run + " started, because port is critical", "fixed by run " + v.Remedies[0].Run} {
		if !strings.Contains(told, want) {
			t.Errorf("not on record: %s\n%s", want, told)
		}
	}
	if n := h.count(t, "SELECT count(*) FROM entries WHERE kind = 'runbook' AND made_by = 'mend' AND text LIKE 'fixed by run %'"); n != 1 {
		t.Errorf("the story of the incident has %d lines about the fix", n)
	}
	list, _ := h.upkeep(t, 0, "runbook", "list")
	if !strings.Contains(list, "1 of 1") || !strings.Contains(list, "port: critical (connect) for 1s") {
		t.Errorf("it is listed as\n%s", list)
	}
}

// A remedy that does not help is given up after two runs, and somebody is told;
// unpause lets it go on.
func TestRunbook_GivesUp(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.die()
	h := newHouse(t, ward(p, "cooldown: 1s, max: 9/1h, grace: 2s", "true"))
	d := h.serve(t)
	v := h.outcome(t, "mend", "not_fixed", 2)
	if !strings.Contains(v.Paused, "upkeep: 2 runs in a row did not help") || h.open(t, "runbook/mend") != 1 || h.open(t, "check/port") != 1 {
		t.Errorf("paused %q, incidents %d and %d\n%s", v.Paused, h.open(t, "runbook/mend"), h.open(t, "check/port"), h.told(t))
	}
	eventually(t, "it is refused", func() (bool, string) {
		told := h.told(t)
		return strings.Contains(told, "upkeep paused it"), told
	})
	out, _ := h.upkeep(t, 4, "runbook", "plan", "mend")
	if !strings.Contains(out, "refused   paused: upkeep paused it") || !strings.Contains(out, "budget    2 of 9 within 1h are used") {
		t.Errorf("the plan says\n%s", out)
	}
	if out, _ := h.upkeep(t, 0, "unpause", "mend"); !strings.Contains(out, "mend runs when its check fails again") {
		t.Errorf("unpause says %s", out)
	}
	h.outcome(t, "mend", "not_fixed", 3)
	if h.open(t, "runbook/mend") != 0 {
		t.Error("the incident of the runbook is open although somebody let it go on")
	}
	d.stop(t)
}

// A service that is killed while a remedy is at work leaves it to the next,
// which starts no other; the budget holds for all of them.
func TestRunbook_Killed(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.die()
	h := newHouse(t, ward(p, "cooldown: 1s, max: 1/1h, grace: 5s", "echo >> begun; while ! test -e go; do sleep 0.05; done"))
	d := h.serve(t)
	eventually(t, "the remedy is at work", func() (bool, string) { return h.has("begun"), d.said(t) })
	d.kill(t)
	d = h.serve(t)
	eventually(t, "it goes on", func() (bool, string) {
		text, err := os.ReadFile(filepath.Join(h.dir, "begun"))
		return err == nil && len(text) == 2, string(text)
	})
	if n := h.count(t, "SELECT count(*) FROM runs"); n != 1 {
		t.Fatalf("%d runs", n)
	}
	h.write(t, "go", "")
	p.live(t, p.address)
	h.outcome(t, "mend", "fixed", 1)
	d.kill(t)
	d = h.serve(t)
	p.die()
	eventually(t, "the budget is used up", func() (bool, string) {
		told := h.told(t)
		return strings.Contains(told, "it ran 1 times within 1h"), told
	})
	v := h.runbook(t, "mend")
	if len(v.Remedies) != 1 || v.Score.Relapsed != 1 {
		t.Errorf("it is shown as %+v", v)
	}
	d.stop(t)
}

// While much fails at once nothing is mended, and neither without the locks.
func TestRunbook_Refused(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.die()
	config := strings.Replace(ward(p, "cooldown: 1s, max: 9/1h, grace: 5s", "touch mended"), "workflows:\n", fmt.Sprintf(`
  second: {kind: tcp, every: 1s, retry_every: 1s, fail_after: 1, with: {address: %q}}
  third: {kind: tcp, every: 1s, retry_every: 1s, fail_after: 1, with: {address: %q}}
workflows:
`, p.address, p.address), 1)
	h := newHouse(t, config)
	d := h.serve(t)
	eventually(t, "the storm is on record", func() (bool, string) {
		told := h.told(t)
		return strings.Contains(told, "3 checks are critical at once: port, second, third"), told
	})
	if h.has("mended") {
		t.Error("it was mended in a storm")
	}
	d.stop(t)
}

// A backup that holds what a runbook needs is not waited for, and the runbook
// cannot be approved meanwhile.
func TestRunbook_Locked(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	config := strings.Replace(ward(p, "cooldown: 1s, max: 9/1h, grace: 5s", "touch mended"), "      remedy: {kind: script,", "      remedy: {kind: script, locks: [database/main],", 1)
	config = strings.Replace(config, "    limits:", "    mode: approve\n    limits:", 1) + `
  backup:
    jobs:
      dump: {kind: script, locks: [database/main], with: {run: "echo > dumping; while ! test -e dumped; do sleep 0.05; done"}}
`
	h := newHouse(t, config)
	d := h.serve(t)
	h.upkeep(t, 0, "run", "backup", "--detach")
	eventually(t, "the backup is under way", func() (bool, string) { return h.has("dumping"), d.said(t) })
	p.die()
	eventually(t, "it is refused", func() (bool, string) {
		told := h.told(t)
		return strings.Contains(told, "backup.dump holds database/main"), told
	})
	h.write(t, "dumped", "")
	eventually(t, "it waits for approval", func() (bool, string) {
		return h.count(t, "SELECT count(*) FROM runs WHERE workflow = 'mend' AND state = 'queued' AND approval = 1") == 1, h.told(t)
	})
	if err := os.Remove(filepath.Join(h.dir, "dumped")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(h.dir, "dumping")); err != nil {
		t.Fatal(err)
	}
	h.upkeep(t, 0, "run", "backup", "--detach")
	eventually(t, "the next backup is under way", func() (bool, string) { return h.has("dumping"), d.said(t) })
	if _, told := h.upkeep(t, 4, "approve", "mend"); !strings.Contains(told, "backup.dump holds database/main, which mend needs") {
		t.Errorf("it is refused with %s", told)
	}
	h.write(t, "dumped", "")
	eventually(t, "the backup has ended", func() (bool, string) {
		return h.count(t, "SELECT count(*) FROM runs WHERE workflow = 'backup' AND state = 'succeeded'") == 2, d.said(t)
	})
	h.upkeep(t, 0, "approve", "mend")
	eventually(t, "it is mended", func() (bool, string) { return h.has("mended"), d.said(t) })
	p.live(t, p.address)
	h.outcome(t, "mend", "fixed", 1)

	// One that nobody needs any more is turned down by upkeep itself.
	p.die()
	eventually(t, "it waits for approval again", func() (bool, string) {
		return h.count(t, "SELECT count(*) FROM runs WHERE workflow = 'mend' AND state = 'queued' AND approval = 1") == 1, h.told(t)
	})
	p.live(t, p.address)
	if v := h.outcome(t, "mend", "dropped", 2); !strings.Contains(v.Remedies[0].Why, "port is well again") {
		t.Errorf("it is shown as %+v", v)
	}
	d.stop(t)
}

// Who gets the alerts is asked for an approval, once, also when the service that
// asked dies.
func TestRunbook_Asks(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.die()
	box := newMailbox(t)
	config := strings.Replace(ward(p, "cooldown: 1s, max: 9/1h, grace: 5s", "touch mended"), "    limits:", "    mode: approve\n    limits:", 1)
	h := newHouse(t, mailing(box, config[strings.Index(config, "checks:"):]))
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	owed := func() int {
		return h.count(t, "SELECT count(*) FROM notices WHERE action = 'remind' AND subject = 'mend waits for approval'")
	}
	for range 2 {
		d := h.serve(t)
		eventually(t, "somebody is asked", func() (bool, string) { return owed() > 0, d.said(t) })
		d.await(t, "msg=\"upkeep serves\"")
		d.kill(t)
	}
	d := h.serve(t)
	eventually(t, "it is asked for again", func() (bool, string) {
		return h.count(t, "SELECT count(*) FROM runs WHERE workflow = 'mend'") == 1, d.said(t)
	})
	h.upkeep(t, 0, "approve", "mend")
	h.outcome(t, "mend", "not_fixed", 1)
	if n := owed(); n != 1 {
		t.Errorf("%d notices ask for it", n)
	}
	d.stop(t)
}
