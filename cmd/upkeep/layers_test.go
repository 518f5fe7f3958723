package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// This file holds the walls of the house (docs/design.md): which package may import which, and who may
// touch a library that we could want to replace. The checks over it stand in layers_check_test.go; the
// linter's depguard section is written from the same tables (layers_linter_test.go).

const modulePath = "github.com/ghosteam/upkeep"

// A layer says what the packages of one place may import of this module.
//
// Patterns are paths below the module: "*" stands for one segment, a closing "/..." for the package
// itself and everything below it. The first layer whose pattern matches decides.
type layer struct {
	name     string // of the depguard rule
	packages string
	may      []string
	why      string
}

// leaves may be imported by every package outside themselves.
var leaves = []string{
	"configs/redisurl", "configs/registry", "configs/secret", "configs/unit", "runner/logbook", "runner/retry", "runner/schedule", "storage/object", "storage/object/retention",
}

var layers = []layer{
	{"secret", "configs/secret", nil, "a leaf: a secret value is used everywhere and knows nothing of us"},
	{"unit", "configs/unit", nil, "a leaf: value types of configuration know nothing of us"},
	{"redisurl", "configs/redisurl", []string{"configs/secret"}, "a leaf: who speaks with Redis reads its address in one way"},
	{"registry", "configs/registry", []string{"configs/unit"}, "a leaf: what the families of plugins share knows none of them"},
	{"logbook", "runner/logbook", nil, "a leaf: handlers of the log know records and files"},
	{"retry", "runner/retry", nil, "a leaf: the retry vocabulary knows nothing of us"},
	{"schedule", "runner/schedule", nil, "a leaf: the calendar is pure"},
	{"retention", "storage/object/retention", nil, "a leaf: what to keep is decided purely"},
	{"object", "storage/object", []string{"configs/registry"}, "a leaf: the contract of stores knows no store and no job"},
	{"object-all", "storage/object/all", andLeaves("storage/object/*"), "the list of stores knows stores only"},
	{
		"store", "storage/object/*", leaves,
		"a store knows its contract and leaves; never another store, a job or a run",
	},

	{
		"jobs", "jobs", andLeaves("jobs/internal/child"),
		"the contract of jobs knows leaves, and child processes to end what a dead run left; not kinds, runs or the ledger",
	},
	{
		"jobs-internal", "jobs/internal/...", andLeaves("jobs", "jobs/internal/..."),
		"what kinds share knows the contract and leaves; not kinds, runs or the ledger",
	},
	{"jobs-all", "jobs/all", andLeaves("jobs", "jobs/*"), "the list of kinds knows kinds only"},
	{
		"kind", "jobs/*", andLeaves("jobs", "jobs/internal/..."),
		"a kind knows the contract, jobs/internal and leaves; never another kind, a run or the ledger",
	},

	{"runner", "runner", andLeaves("jobs"), "the words of running know the contract of jobs; not who uses them"},
	{"queue", "runner/queue", andLeaves("jobs", "runner"), "the contract of delivery knows the words; not its implementations"},
	{
		"delivery", "runner/queue/*", andLeaves("jobs", "runner", "runner/queue"),
		"a delivery knows its contract and the words; the ledger reaches it through an interface",
	},
	{
		"engine", "runner/*", andLeaves("jobs", "runner", "runner/queue"),
		"a part of the engine knows the words; peers meet in runner as a word or a small interface",
	},

	{
		"ledger", "storage/ledger/...", andLeaves("jobs", "runner", "storage/ledger/..."),
		"the ledger knows the words; not who executes, delivers, alerts or shows",
	},
	{"lock", "storage/lock/*", andLeaves("jobs", "runner"), "a lock knows its contract, runner.Locker, and the words"},

	{"alerts", "alerts", andLeaves("jobs", "runner"), "alerts know the words; the outbox reaches them through an interface"},
	{"alerts-all", "alerts/all", andLeaves("alerts", "alerts/*"), "the list of channels knows channels only"},
	{
		"alerts-internal", "alerts/internal/...", andLeaves("alerts", "jobs", "runner", "alerts/internal/..."),
		"what channels share knows their contract; never a channel",
	},
	{"channel", "alerts/*", andLeaves("alerts", "alerts/internal/...", "jobs", "runner"), "a channel knows its contract; never another channel"},
	{"health", "health/...", andLeaves("jobs", "runner", "health/..."), "health knows the words; peers meet in runner"},
	{"reports", "reports/...", andLeaves("jobs", "runner", "reports/..."), "reports know the words; peers meet in runner"},
	{"web", "web/...", andLeaves("jobs", "runner", "web/..."), "web declares the interfaces it needs; cmd gives them to it"},

	{
		"configs", "configs/...",
		andLeaves(
			"configs/...", "jobs", "runner", "runner/queue", "runner/executor", "runner/ticker", "runner/queue/*",
			"storage/ledger", "storage/lock/*", "alerts", "health", "health/runbook", "reports", "web",
		),
		"configuration knows contracts; kinds, stores and channels reach it as registries",
	},

	{"cmd", "cmd/...", []string{"..."}, "wire.go is the only place that sees everything"},
	{"scripts", "scripts/...", []string{"..."}, "development programs may measure everything"},
}

func andLeaves(more ...string) []string { return append(slices.Clip(more), leaves...) }

// testPackages exist for tests. They may import everything, and production code may import none of them.
var testPackages = []string{
	"alerts/alertstest", "jobs/internal/pg/pgtest", "jobs/jobstest", "runner/queue/queuetest", "storage/ledger/ledgertest",
	"storage/object/objecttest", "web/pages/browsertest",
}

// A keeper says which packages alone may import an outside library in production code.
type keeper struct {
	name    string // of the depguard rule
	library string // an import path or the beginning of several
	may     []string
	why     string
}

var keepers = []keeper{
	{"yaml", "go.yaml.in/yaml", []string{"configs", "configs/internal/*"}, "YAML is decoded in configs only"},
	{"yaml-old", "gopkg.in/yaml", nil, "it silently accepts unknown nested keys; configs uses go.yaml.in/yaml/v4"},
	{"yaml-goccy", "github.com/goccy/go-yaml", nil, "it corrupts strings that look like numbers"},
	{"cobra", "github.com/spf13", []string{"cmd/...", "scripts/..."}, "commands and flags stop at cmd"},
	{"gocron", "github.com/go-co-op/gocron", []string{"runner/ticker"}, "gocron is the clock of the ticker and nothing else"},
	{"river", "github.com/riverqueue", []string{"runner/queue/river"}, "River only delivers; the ledger is the truth"},
	{
		"pgx", "github.com/jackc",
		[]string{"storage/ledger/...", "jobs/internal/pg", "runner/queue/river", "scripts/dev/bench"},
		"PostgreSQL is spoken by the ledger, by the kinds through jobs/internal/pg, and by River's delivery",
	},
	{
		"sqlite", "modernc.org/sqlite",
		[]string{"storage/ledger/...", "jobs/sqlitebackup"},
		"SQLite is spoken by the ledger and by the backup of SQLite files",
	},
	{"goose", "github.com/pressly/goose", []string{"storage/ledger/..."}, "migrations belong to the ledger"},
	{"redis", "github.com/redis", []string{"storage/lock/redis", "jobs/internal/redis"}, "Redis is spoken by the locks, and by the kinds through jobs/internal/redis"},
	{"aws", "github.com/aws", []string{"storage/object/s3", "scripts/dev/bench"}, "S3 is a store like any other"},
	{
		"gopsutil", "github.com/shirou/gopsutil",
		[]string{"jobs/health", "jobs/system", "jobs/internal/*"},
		"gopsutil v3 is frozen: it stays behind one file, ready to be replaced",
	},
	{"mail", "github.com/wneessen/go-mail", []string{"alerts/email"}, "mail is a channel like any other"},
	{
		"prometheus", "github.com/prometheus",
		[]string{"runner/metrics", "web", "cmd/...", "jobs/script", "health/scrape"},
		"parts report events; runner/metrics turns them into Prometheus; jobs/script and health/scrape read what programs expose",
	},
	{"huma", "github.com/danielgtaylor/huma", []string{"web/..."}, "HTTP stops at web"},
	{"testify", "github.com/stretchr", nil, "tests use the standard library and go-cmp"},
	{"log", "log$", nil, "log/slog, injected"},
	{"testing", "testing$", nil, "only tests and the packages that exist for tests"},
	{"errors-pkg", "github.com/pkg/errors", nil, "errors and fmt.Errorf with %w"},
}

// oneFile are libraries that a single production file may import.
var oneFile = []string{"github.com/shirou/gopsutil"}

// topFolders is what the root of the module may hold.
var topFolders = []string{"cmd", "jobs", "runner", "storage", "configs", "scripts", "alerts", "health", "reports", "web", "docs"}

// families are the plugin families: each member is listed in the family's `all` package, except for the
// folders that are no members.
var families = map[string][]string{
	"jobs":           {"all", "internal", "jobstest"},
	"storage/object": {"all", "objecttest", "retention"},
	"alerts":         {"all", "alertstest", "internal"},
}

// forbiddenWords end no exported type's name and name no package: they say nothing.
var forbiddenWords = []string{"Manager", "Helper", "Helpers", "Util", "Utils", "Base", "Data", "Common", "Misc"}

const (
	maxFileLines    = 400 // of production code
	fileLinesReason = "split it by noun"
)

func TestLayers(t *testing.T) {
	t.Parallel()
	tree := readTree(t, moduleRoot(t))
	if len(tree) < 10 {
		t.Fatalf("found only %d packages; the walk is broken", len(tree))
	}
	for _, complaint := range checkTree(tree) {
		t.Error(complaint)
	}
	for _, pattern := range patterns() {
		if !slices.ContainsFunc(tree, func(f goFile) bool { return matches(pattern, f.folder) }) {
			t.Errorf("there is no package %s, which the tables name", pattern)
		}
	}
}

// patterns are all places that the tables name.
func patterns() []string {
	all := slices.Concat(leaves, testPackages)
	for _, l := range layers {
		all = append(append(all, l.packages), l.may...)
	}
	for _, k := range keepers {
		all = append(all, k.may...)
	}
	return all
}

// TestLayers_Complain proves that the checker can fail: each tree is wrong in one way.
func TestLayers_Complain(t *testing.T) {
	t.Parallel()
	const m = modulePath + "/"
	tests := map[string]struct {
		files map[string]string // path: content
		want  []string
	}{
		"peers import each other": {
			files: map[string]string{"web/web.go": importing("web", m+"storage/ledger")},
			want: []string{
				"web/web.go imports storage/ledger: web declares the interfaces it needs; cmd gives them to it",
			},
		},
		"a kind imports a kind": {
			files: map[string]string{"jobs/all/all.go": importing("all", m+"jobs/prune"), "jobs/prune/prune.go": defining("prune", "prune", m+"jobs/script")},
			want: []string{
				"jobs/prune/prune.go imports jobs/script: a kind knows the contract, jobs/internal and leaves; never another kind, a run or the ledger",
			},
		},
		"a leaf imports the house": {
			files: map[string]string{"runner/schedule/rule.go": importing("schedule", m+"runner", "time")},
			want:  []string{"runner/schedule/rule.go imports runner: a leaf: the calendar is pure"},
		},
		"configs names a kind": {
			files: map[string]string{"configs/load.go": importing("configs", m+"jobs/all", m+"jobs", "go.yaml.in/yaml/v4")},
			want: []string{
				"configs/load.go imports jobs/all: configuration knows contracts; kinds, stores and channels reach it as registries",
			},
		},
		"also behind a build constraint": {
			files: map[string]string{"runner/metrics/x_plan9.go": "//go:build plan9\n\n" + importing("metrics", m+"web")},
			want: []string{
				"runner/metrics/x_plan9.go imports web: a part of the engine knows the words; peers meet in runner as a word or a small interface",
			},
		},
		"production imports a test package": {
			files: map[string]string{"cmd/upkeep/wire.go": importing("main", m+"storage/ledger/ledgertest")},
			want:  []string{"cmd/upkeep/wire.go imports storage/ledger/ledgertest: it exists for tests"},
		},
		"a test and a test package may": {
			files: map[string]string{
				"web/web_test.go":                       importing("web_test", m+"storage/ledger/ledgertest", m+"storage/ledger", "github.com/jackc/pgx/v5", "testing"),
				"storage/ledger/ledgertest/suite.go":    importing("ledgertest", m+"storage/ledger", m+"runner/executor", "testing"),
				"storage/ledger/internal/x/postgres.go": importing("x", "github.com/jackc/pgx/v5/pgxpool"),
			},
		},
		"a library outside its keeper": {
			files: map[string]string{"runner/executor/run.go": importing("executor", "github.com/riverqueue/river", "log", "log/slog")},
			want: []string{
				"runner/executor/run.go imports github.com/riverqueue/river: River only delivers; the ledger is the truth",
				"runner/executor/run.go imports log: log/slog, injected",
			},
		},
		"a library in two files": {
			files: map[string]string{
				"jobs/internal/host/cpu.go":    importing("host", "github.com/shirou/gopsutil/v3/cpu"),
				"jobs/internal/host/memory.go": importing("host", "github.com/shirou/gopsutil/v3/mem"),
			},
			want: []string{"github.com/shirou/gopsutil is imported by 2 files, one may: jobs/internal/host/cpu.go, jobs/internal/host/memory.go"},
		},
		"folders that are not of the house": {
			files: map[string]string{
				"main.go":             importing("main"),
				"pkg/util/strings.go": importing("util"),
				"runner/a/b/c/c.go":   importing("c"),
			},
			want: []string{
				"main.go: no Go files in the root of the module",
				"pkg/util: the house has no top folder pkg",
				"pkg/util: a package named util says nothing",
				"runner/a/b/c: no layer covers this package: give it a place in layers_test.go",
			},
		},
		"a kind under a wrong name": {
			files: map[string]string{
				"jobs/all/all.go":       importing("all", m+"jobs/archive"),
				"jobs/archive/a.go":     defining("archive", "tarball"),
				"jobs/usage/u.go":       importing("sizes"),
				"jobs/usage/u_test.go":  importing("sizes_test"),
				"jobs/internal/pg/p.go": importing("postgres"),
			},
			want: []string{
				`jobs/archive: the kind is called "tarball"; folder, package and kind have one name`,
				"jobs/internal/pg: package postgres in folder pg",
				"jobs/usage: package sizes in folder usage",
				"jobs/usage: no call of jobs.Define with a name",
				"jobs/usage is missing in jobs/all",
			},
		},
		"names that say nothing": {
			files: map[string]string{"runner/names.go": "package runner\n\ntype LeaseManager struct{}\ntype Database struct{}\ntype RunData struct{}\ntype base struct{}\n"},
			want: []string{
				"runner/names.go:3: type LeaseManager: Manager says nothing",
				"runner/names.go:5: type RunData: Data says nothing",
			},
		},
		"a file too long": {
			files: map[string]string{
				"runner/long.go":      "package runner\n" + strings.Repeat("\n", maxFileLines),
				"runner/fits.go":      "package runner\n" + strings.Repeat("\n", maxFileLines-1),
				"runner/long_test.go": "package runner\n" + strings.Repeat("\n", 2*maxFileLines),
				"runner/made.go":      "// Code generated by x; DO NOT EDIT.\n\npackage runner\n" + strings.Repeat("\n", 2*maxFileLines),
			},
			want: []string{"runner/long.go: 401 lines, 400 are allowed: split it by noun"},
		},
		"what the walk leaves out": {
			files: map[string]string{
				"runner/testdata/src/x.go": importing("x", m+"web"),
				"runner/_old/x.go":         importing("x", m+"web"),
				".bin/x/x.go":              importing("x", m+"web"),
				"web/node_modules/x/x.go":  importing("x", m+"storage/ledger"),
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for path, content := range test.files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, checkTree(readTree(t, root))); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
		})
	}
}

// importing returns a file that imports paths.
func importing(pkg string, paths ...string) string {
	var b strings.Builder
	b.WriteString("package " + pkg + "\n\n")
	for _, path := range paths {
		b.WriteString("import _ \"" + path + "\"\n")
	}
	return b.String()
}

// defining returns a file of pkg that defines a kind.
func defining(pkg, kind string, paths ...string) string {
	return importing(pkg, append(paths, modulePath+"/jobs")...) +
		"\nfunc Kind() jobs.Kind { return jobs.Define[Options](\"" + kind + "\", \"\", Options{}, nil) }\n"
}
