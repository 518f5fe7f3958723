package doctor_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health/doctor"
	"github.com/ghosteam/upkeep/jobs"
)

// sick is a machine in trouble, from a fake tree.
func sick() doctor.Host {
	const gib = 1 << 30
	files := map[string]string{
		"proc/stat":        "cpu  100 0 0 100 0 0 0 0\ncpu0 1\ncpu1 1\n",
		"proc/loadavg":     "20.0 18.5 3.0 1/2 3\n",
		"proc/uptime":      "100000.5 1\n",
		"proc/meminfo":     "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 40 kB\nCached: 30 kB\nSwapTotal: 100 kB\nSwapFree: 5 kB\n",
		"proc/vmstat":      "nr_x 1\noom_kill 2\n",
		"proc/self/cgroup": "0::/system.slice/upkeep.service\n",
		"sys/fs/cgroup/system.slice/upkeep.service/memory.max":     "1000\n",
		"sys/fs/cgroup/system.slice/upkeep.service/memory.current": "900\n",
		"sys/fs/cgroup/system.slice/upkeep.service/memory.events":  "oom 3\noom_kill 1\n",
		"sys/fs/cgroup/system.slice/memory.max":                    "max\n",
		"sys/fs/cgroup/memory.max":                                 "5000\n",
		"proc/pressure/memory":                                     "some avg10=1 avg60=30 avg300=1 total=9\nfull avg10=1 avg60=25 avg300=1 total=9\n",
		"proc/pressure/io":                                         "some avg10=1 avg60=70 avg300=1 total=9\nfull avg10=1 avg60=60 avg300=1 total=9\n",
		"proc/self/mountinfo": `22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 8:2 / /var rw - ext4 /dev/sda2 rw
24 22 8:3 / /data rw - xfs /dev/sdb ro
25 22 8:4 / /mnt/share rw - nfs4 server:/x rw
26 22 0:7 / /proc rw - proc proc rw
27 22 8:5 / /backup ro - ext4 /dev/sdc ro
`,
		"proc/1/stat": "1 (init) S" + rest, "proc/1/cmdline": "init\x00",
		"proc/7/stat":    "7 (hog) R" + strings.Replace(rest, " 256 ", " 9999999 ", 1),
		"proc/7/cmdline": "hog\x00--connect\x00postgres://app:pl4nted@db/x\x00", "proc/7/cgroup": "0::/system.slice/hog.service\n", "proc/7/status": "Uid:\t33\t33\t33\t33\nVmSwap: 5 kB\n",
		"etc/passwd": "root:x:0:0\nwww-data:x:33:33:x:/:/bin/sh\n",
	}
	for i := range 5 {
		files[fmt.Sprintf("proc/10%d/stat", i)] = fmt.Sprintf("10%d (stuck) D%s", i, rest)
	}
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	spaces := map[string]doctor.Space{
		"/":       {Total: 100 * gib, Used: 50 * gib, Free: 50 * gib, Inodes: 100, InodesFree: 2},
		"/var":    {Total: 100 * gib, Used: 97 * gib, Free: 3 * gib, Inodes: 100, InodesFree: 90},
		"/data":   {Total: 100 * gib, Used: 10 * gib, Free: 90 * gib},
		"/backup": {Total: 100 * gib, Used: 99 * gib, Free: 1 * gib},
	}
	return doctor.Host{
		Files: tree, Sample: time.Millisecond,
		Space: func(at string) (doctor.Space, error) {
			s, ok := spaces[at]
			if !ok {
				return s, errors.New("stale handle")
			}
			return s, nil
		},
		KernelLog: func() (string, error) {
			return "<3>[ 99000.5] Out of memory: Killed process 99 (java) anon-rss:1kB\n", nil
		},
		Clock: func() (doctor.ClockState, error) { return doctor.ClockState{}, nil },
		Program: func(_ context.Context, argv ...string) (string, error) {
			if argv[0] != "systemctl" {
				return "", errors.New("unexpected: " + argv[0])
			}
			return "Id=" + argv[len(argv)-1] + "\nLoadState=loaded\nActiveState=failed\nSubState=failed\nResult=oom-kill\n", nil
		},
	}.Complete()
}

func (s steps) run(t *testing.T, secrets *doctor.Secrets) *doctor.Report {
	t.Helper()
	return doctor.Examination{Version: "1.2.3", Host: "db-1", Node: "db-1", Project: "p", Steps: s, Secrets: secrets}.Run(t.Context())
}

type steps []doctor.Step

// brief is a report as lines of severity, section and ID.
func brief(r *doctor.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s %s", f.Severity, f.Section, f.ID))
	}
	return out
}

// TestExamination_SickHost: everything that is wrong with a machine is found,
// the worst first, and each finding says what comes next.
func TestExamination_SickHost(t *testing.T) {
	t.Parallel()
	h := sick()
	skewed := doctor.Reference{Name: "the ledger", Ask: func(context.Context) (time.Time, error) { return time.Now().Add(-time.Minute), nil }}
	r := steps{
		h.Processes(), h.Memory(), h.Kills(), h.Disks(doctor.Place{Path: "/data/upkeep", What: "the ledger"}, doctor.Place{Path: "/backup/x", What: "the store s"}), h.Load(), h.ClockStep(skewed),
		h.Units([]doctor.NamedUnit{{Name: "api.service", Job: "w.restart"}}),
	}.run(t, nil)
	want := []string{
		"critical memory memory",
		"critical disks disk:/mnt/share",
		"critical disks disk:/backup",
		"critical disks disk:/var",
		"critical disks inodes:/",
		"critical disks readonly:/backup",
		"critical disks readonly:/data",
		"critical clock skew:the_ledger",
		"critical services unit:api.service",
		"warning processes blocked",
		"warning memory cgroup",
		"warning memory pressure",
		"warning memory swap",
		"warning oom killed",
		"warning load io",
		"warning load load",
		"warning clock unsynchronized",
	}
	got := brief(r)
	for i := range want {
		if !strings.Contains(strings.Join(got, "\n"), want[i]) {
			t.Errorf("%s is missing in\n%s", want[i], strings.Join(got, "\n"))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	if !strings.HasPrefix(got[0], "critical memory") || r.Verdict != doctor.Broken {
		t.Errorf("%s, %s", got[0], r.Verdict)
	}
	for _, f := range r.Findings {
		if f.Next == "" || f.Means == "" || !jobs.ValidFindingID(f.ID) {
			t.Errorf("%+v", f)
		}
	}
	if next := r.Next()[0]; next != "systemctl status hog.service" {
		t.Errorf("what comes next for the memory: %s", next)
	}
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "pl4nted") || !strings.Contains(text, "postgres://app:") || !strings.Contains(text, `"user":"www-data"`) {
		t.Errorf("%s", text)
	}
}

// TestExamination_Hanging: a step that hangs is left behind, and the others are
// told.
func TestExamination_Hanging(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		var hung atomic.Bool
		var progress []string
		r := doctor.Examination{Steps: []doctor.Step{
			{Name: "deaf", Title: "what hangs", Within: 3 * time.Second, Look: func(context.Context) (doctor.Found, error) { hung.Store(true); <-release; return doctor.Found{}, nil }},
			{Name: "late", Title: "what heeds its end", Look: func(ctx context.Context) (doctor.Found, error) { <-ctx.Done(); return doctor.Found{}, ctx.Err() }},
			{Name: "quick", Title: "what answers", Look: func(context.Context) (doctor.Found, error) { return doctor.Found{Summary: "well"}, nil }},
			{Name: "mad", Title: "what panics", Look: func(context.Context) (doctor.Found, error) { panic("pl4nted") }},
		}, Progress: func(ended string, waiting []string) {
			progress = append(progress, fmt.Sprintf("%s %d", ended, len(waiting)))
		}}.Run(t.Context())
		if !hung.Load() {
			t.Error("nothing hung")
		}
		var states []string
		for _, s := range r.Sections {
			states = append(states, fmt.Sprintf("%s %s %s", s.Name, s.State, s.Summary))
		}
		want := []string{
			"deaf unknown not seen: no answer within 3s", "late unknown not seen: no answer within 10s", "quick healthy well",
		}
		if diff := cmp.Diff(want, states[:3]); diff != "" {
			t.Error(diff)
		}
		if !strings.HasPrefix(states[3], "mad unknown not seen: the look itself failed: pl4nted") {
			t.Error(states[3])
		}
		if r.TookSeconds != 10 || r.Verdict != doctor.Warnings || r.Warned() != 3 || progress[3] != "late 0" {
			t.Errorf("%v s, %s, %d, %v", r.TookSeconds, r.Verdict, r.Warned(), progress)
		}
	})
}

// TestExamination_HangingMount: a dead share costs its own patience, and is
// named.
func TestExamination_HangingMount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		h := sick()
		answer := h.Space
		h.Space = func(at string) (doctor.Space, error) {
			if at == "/mnt/share" {
				<-release
			}
			return answer(at)
		}
		r := steps{h.Disks()}.run(t, nil)
		if found := r.Findings[0]; found.ID != "disk:/mnt/share" || !strings.Contains(found.Text, "no answer within 3s") || r.TookSeconds != 3 {
			t.Errorf("%+v, %v s", found, r.TookSeconds)
		}
	})
}

// denied is a tree that may not be read.
type denied struct{}

func (denied) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

// TestExamination_NoPermission: what may not be looked at is said, and is not
// taken for well.
func TestExamination_NoPermission(t *testing.T) {
	t.Parallel()
	h := doctor.Host{
		Files: denied{}, KernelLog: func() (string, error) { return "", fs.ErrPermission }, Clock: func() (doctor.ClockState, error) { return doctor.ClockState{}, errors.ErrUnsupported },
	}.Complete()
	r := steps{h.Processes(), h.Memory(), h.Kills(), h.Disks(), h.Load(), h.ClockStep(), h.Units([]doctor.NamedUnit{{Name: "x.service"}})}.run(t, nil)
	for _, s := range r.Sections {
		if s.Name != "clock" && s.State != doctor.Unknown {
			t.Errorf("%s is %s", s.Name, s.State)
		}
	}
	if len(r.Unseen) != 7 || r.Verdict != doctor.Warnings || !strings.Contains(r.Unseen[0].Why, "permission denied") {
		t.Errorf("%s, %+v", r.Verdict, r.Unseen)
	}
	// The kernel's log alone is no trouble: only root may read it.
	h = sick()
	h.KernelLog = func() (string, error) { return "", fs.ErrPermission }
	found, err := h.Kills().Alone(t.Context())
	if err != nil || len(found.Unseen) != 1 || found.Unseen[0].Grave {
		t.Errorf("%+v, %v", found.Unseen, err)
	}
}

// leaky is a step that tells secrets wherever it can.
func leaky() doctor.Step {
	return doctor.Step{Name: "leaky", Title: "pl4nted-title is no secret", Look: func(context.Context) (doctor.Found, error) {
		const key = "-----BEGIN PRIVATE KEY-----\nMIIEvQpl4ntedMIIEvQ\n-----END PRIVATE KEY-----"
		secrets := []string{
			"known-pl4nted", "postgres://u:pl4nted@h/d", "PGPASSWORD=pl4nted", "Authorization: Bearer pl4nted123", key, "redis://:pl4nted@h", "https://h/?token=pl4nted", "xoxb-12345678-pl4nted",
		}
		all := strings.Join(secrets, "\n")
		return doctor.Found{
			Summary: secrets[0], Lines: secrets, Facts: map[string]any{"list": secrets, "text": all, "API_TOKEN": "pl4nted", "known-pl4nted": 1, "deep": []any{map[string]any{"x": secrets[1]}}},
			Findings: []doctor.Finding{{ID: "x", Severity: jobs.Warning, Text: secrets[1], Means: secrets[2], Next: "psql postgres://u:pl4nted@h/d"}},
			Unseen:   []doctor.Unseen{{What: secrets[0], Why: secrets[3]}},
			Files:    []doctor.File{{Name: "raw.log", Content: all, End: true}},
		}, nil
	}}
}

// unpack reads an archive and checks it against its manifest.
func unpack(t *testing.T, archive []byte) (map[string]string, doctor.Manifest) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		files[name] = string(content)
		if h.Mode != 0o600 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s: mode %o of %d %s", h.Name, h.Mode, h.Uid, h.Uname)
		}
	}
	var m doctor.Manifest
	if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		sum := sha256.Sum256([]byte(files[f.Name]))
		if f.Bytes != len(files[f.Name]) || f.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s is not what the manifest says", f.Name)
		}
	}
	if len(m.Files) != len(files)-1 {
		t.Errorf("the manifest lists %d of %d files", len(m.Files), len(files)-1)
	}
	return files, m
}

// TestBundle_NoSecrets looks for planted secrets in every file of a bundle, in
// the report and in its text.
func TestBundle_NoSecrets(t *testing.T) {
	t.Parallel()
	var secrets doctor.Secrets
	secrets.Add("known-pl4nted")
	h := sick()
	r := steps{leaky(), h.Processes(), h.Kills()}.run(t, &secrets)
	b, err := doctor.Pack(r, doctor.MostBundled)
	if err != nil {
		t.Fatal(err)
	}
	var out, again bytes.Buffer
	if err := errors.Join(b.Write(&out), b.Write(&again)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("the same report makes different bytes")
	}
	files, m := unpack(t, out.Bytes())
	if m.Version != "1.2.3" || m.Host != "db-1" || m.At.IsZero() || len(m.Cut) != 0 {
		t.Errorf("%+v", m)
	}
	for _, name := range []string{"report.json", "report.txt", "sections/leaky.json", "sections/leaky.txt", "files/raw.log", "files/kernel.log", "sections/processes.json"} {
		if files[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	for name, content := range files {
		content = strings.ReplaceAll(content, "pl4nted-title", "")
		if at := strings.Index(content, "pl4nted"); at >= 0 {
			t.Errorf("%s tells …%s", name, content[max(0, at-40):at+10])
		}
		if strings.HasSuffix(name, ".json") && !json.Valid([]byte(content)) {
			t.Errorf("%s is not JSON", name)
		}
	}
	if !strings.Contains(files["files/raw.log"], "postgres://u:<redacted>@h/d") {
		t.Error("what is no secret is gone too")
	}
}

// TestBundle_Limit: a bundle stays below its limit, and says what it cut.
func TestBundle_Limit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a line of a log\n", 1<<12)
	r := steps{{Name: "big", Title: "b", Look: func(context.Context) (doctor.Found, error) {
		return doctor.Found{Lines: strings.Split(long, "\n"), Facts: strings.Split(long, "\n"), Files: []doctor.File{{Name: "log", Content: "first\n" + long + "last\n", End: true}, {Name: "head", Content: "first\n" + long}}}, nil
	}}}.run(t, nil)
	for _, limit := range []int{200 << 10, 100 << 10, 16 << 10} {
		b, err := doctor.Pack(r, limit)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := b.Write(&out); err != nil {
			t.Fatal(err)
		}
		files, m := unpack(t, out.Bytes())
		total := -len(files["manifest.json"])
		for _, content := range files {
			total += len(content)
		}
		if total > limit || len(m.Cut) == 0 {
			t.Errorf("limit %d: %d bytes, cut %+v", limit, total, m.Cut)
		}
		if log := files["files/log"]; log != "" && (!strings.HasSuffix(log, "last\n") || strings.HasPrefix(log, "first")) {
			t.Errorf("limit %d: the wrong end of the log was kept", limit)
		}
		if files["report.json"] == "" {
			t.Error("the report is gone")
		}
	}
}

func TestFieldName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"UsedPercent": "used_percent", "PID": "pid", "CPUPercent": "cpu_percent", "Some10": "some10", "ByCPU": "by_cpu", "already_so": "already_so", "AgoSeconds": "ago_seconds"} {
		if got := doctor.FieldName(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
