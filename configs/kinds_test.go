package configs_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// The kinds of these tests have the shapes of options that real kinds have, and
// hand back what they were built from. Real kinds are used with the shipped
// configurations only, so that their wording is not written down here.

// built is a job that remembers its options and dependencies.
type built struct {
	options any
	deps    jobs.Deps
	store   object.Store
	history jobs.History
	url     secret.String
}

func (b *built) Run(context.Context, *jobs.Env) (jobs.Result, error) { return jobs.Result{}, nil }

type scriptOptions struct {
	Run    unit.Command             `yaml:"run" required:"true" doc:"What to run." example:"[python3, scripts/check.py]"`
	Env    map[string]secret.String `yaml:"env" doc:"Variables."`
	Result string                   `yaml:"result" enum:"exit,json,nagios" doc:"How it tells its outcome."`
	Dir    unit.Path                `yaml:"dir"`
}

type pruneOptions struct {
	Root      unit.Path     `yaml:"root" required:"true" doc:"The folder."`
	Match     []string      `yaml:"match" required:"true" doc:"Patterns." example:"['*.log']"`
	OlderThan unit.Duration `yaml:"older_than" doc:"Age."`
	MaxShare  unit.Share    `yaml:"max_share"`
	Ratio     float64       `yaml:"ratio"`
	Apply     bool          `yaml:"apply"`
	Limits    struct {
		Memory unit.Size `yaml:"memory"`
		Files  int       `yaml:"files"`
	} `yaml:"limits"`
	Groups []pruneGroup         `yaml:"groups"`
	Named  map[string]unit.Path `yaml:"named"`
	Other  *pruneGroup          `yaml:"other"`
}

type pruneGroup struct {
	Path unit.Path `yaml:"path" required:"true"`
	Size unit.Size `yaml:"size"`
}

func (o *pruneOptions) Validate() error {
	var errs []error
	if o.Root == "/" {
		errs = append(errs, &jobs.FieldError{Field: "root", Why: "the root of the file system is no place to delete files", Hint: "name the folder"})
	}
	for i, pattern := range o.Match {
		if strings.Contains(pattern, "[") {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("match[%d]", i), "%q is not a pattern", pattern))
		}
	}
	if o.Limits.Files == 13 {
		errs = append(errs, jobs.Fieldf("limits.files", "13 brings bad luck"))
	}
	for i, group := range o.Groups {
		if filepath.Base(string(group.Path)) == "forbidden" {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("groups[%d].path", i), "forbidden"))
		}
	}
	if o.OlderThan == 0 {
		errs = append(errs, jobs.WithHint(errors.New("something must say what is old"), "write older_than: 7d"))
	}
	return errors.Join(errs...)
}

type backupOptions struct {
	Database string         `yaml:"database" required:"true"`
	Store    unit.Names     `yaml:"store" required:"true"`
	Keep     map[string]int `yaml:"keep"`
}

// copies are artifacts that nobody looks at.
type copies struct{ jobs.Artifacts }

type reviewOptions struct {
	Database string `yaml:"database" required:"true"`
}

func buildReview(o reviewOptions, deps jobs.Deps) (jobs.Job, error) {
	if _, err := deps.Database(o.Database); err != nil {
		return nil, jobs.Fieldf("database", "%v", err)
	}
	return &built{options: o, deps: deps}, nil
}

type unitOptions struct {
	Name string `yaml:"name"`
}

type healthOptions struct {
	Checks []string `yaml:"checks"`
}

type historyOptions struct {
	Workflow string `yaml:"workflow"`
	Job      string `yaml:"job"`
}

type systemOptions struct {
	Warn unit.Share `yaml:"warn"`
	Host string     `yaml:"host"`
}

type vaultOptions struct {
	Token secret.String `yaml:"token" required:"true"`
	Note  string        `yaml:"note"`
}

// keep hands back a job made of options.
func keep[O any](o O, deps jobs.Deps) (jobs.Job, error) { return &built{options: o, deps: deps}, nil }

func buildBackup(o backupOptions, deps jobs.Deps) (jobs.Job, error) {
	job := &built{options: o, deps: deps}
	database, err := deps.Database(o.Database)
	var errs []error
	if err != nil {
		errs = append(errs, jobs.Fieldf("database", "%v", err))
	}
	job.url = database.URL
	for i, name := range o.Store {
		if job.store, err = deps.Store(name); err != nil {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("store[%d]", i), "%v", err))
		}
	}
	return job, errors.Join(errs...)
}

func buildHealth(o healthOptions, deps jobs.Deps) (jobs.Job, error) {
	names := o.Checks
	if len(names) == 0 {
		names = deps.Checks()
	}
	var errs []error
	for _, name := range names {
		if _, err := deps.Check(name); err != nil {
			errs = append(errs, err)
		}
	}
	return &built{options: o, deps: deps}, errors.Join(errs...)
}

func buildHistory(o historyOptions, deps jobs.Deps) (jobs.Job, error) {
	history, err := deps.History(o.Workflow, o.Job)
	return &built{options: o, deps: deps, history: history}, err
}

func buildSystem(o systemOptions, deps jobs.Deps) (jobs.Job, error) {
	if o.Host == "forbidden" {
		return nil, jobs.Fieldf("host", "forbidden")
	}
	return &built{options: o, deps: deps}, nil
}

// memory is a store that remembers what it was opened with.
type memory struct {
	object.Store
	name    string
	options any
}

func (m *memory) Dir() string {
	if o, ok := m.options.(localOptions); ok {
		return string(o.Path)
	}
	return "/nowhere"
}

type localOptions struct {
	Path unit.Path `yaml:"path" required:"true" doc:"The folder."`
}

type s3Options struct {
	Bucket string        `yaml:"bucket" required:"true"`
	Secret secret.String `yaml:"secret_key"`
	Size   unit.Size     `yaml:"part_size"`
}

// mailbox is a channel that remembers what it was opened with.
type mailbox struct {
	alerts.Channel

	name    string
	options mailOptions
}

type mailOptions struct {
	Server   string        `yaml:"smtp_server" required:"true"`
	Port     int           `yaml:"smtp_port" range:"1,65535"`
	TLS      string        `yaml:"tls" enum:"starttls,implicit,none"`
	From     string        `yaml:"from" required:"true"`
	To       unit.Names    `yaml:"to" required:"true"`
	Username string        `yaml:"username"`
	Password secret.String `yaml:"password"`
}

func (o *mailOptions) Validate() error {
	if o.From == "nobody" {
		return jobs.Fieldf("from", "nobody cannot send mail")
	}
	return nil
}

func testCatalog(env map[string]string) configs.Catalog {
	return configs.Catalog{
		Kinds: jobs.NewRegistry(
			jobs.Define("script", "Runs a program.", scriptOptions{Result: "exit"}, keep[scriptOptions]),
			jobs.Define("prune", "Deletes files.", pruneOptions{OlderThan: unit.Duration(1), MaxShare: 50, Named: map[string]unit.Path{"preset": "relative"}}, keep[pruneOptions]),
			jobs.Define("backup", "Backs up.", backupOptions{}, buildBackup).WithArtifacts(copies{}),
			jobs.Define("review", "Looks.", reviewOptions{}, buildReview),
			jobs.Define("service", "Restarts.", unitOptions{}, keep[unitOptions]),
			jobs.Define("certificate", "Renews.", unitOptions{}, keep[unitOptions]),
			jobs.Define("health", "Asks checks.", healthOptions{}, buildHealth),
			jobs.Define("history", "Looks back.", historyOptions{}, buildHistory),
			jobs.Define("system", "Measures.", systemOptions{Warn: 80}, buildSystem).AsProbe(),
			jobs.Define("vault", "Opens.", vaultOptions{}, keep[vaultOptions]),
		),
		Stores: object.NewRegistry(
			object.Define("local", "A folder.", localOptions{}, func(name string, o localOptions) (object.Store, error) {
				return &memory{name: name, options: o}, nil
			}),
			object.Define("s3", "A bucket.", s3Options{}, func(name string, o s3Options) (object.Store, error) {
				if o.Bucket == "forbidden" {
					return nil, jobs.Fieldf("bucket", "forbidden")
				}
				return &memory{name: name, options: o}, nil
			}),
		),
		Channels: alerts.NewRegistry(
			alerts.Define("email", "Sends mail.", mailOptions{Port: 587, TLS: "starttls"}, func(name string, o mailOptions) (alerts.Channel, error) {
				return &mailbox{name: name, options: o}, nil
			}),
			alerts.Define("page", "Wakes somebody.", struct{}{}, func(name string, _ struct{}) (alerts.Channel, error) {
				return &mailbox{name: name}, nil
			}),
		),
		Getenv: func(name string) (string, bool) {
			text, ok := env[name]
			return text, ok
		},
		Hostname: func() (string, error) { return "test-node", nil },
	}
}

// testEnv is the environment of the fixtures.
func testEnv() map[string]string {
	return map[string]string{
		"WORD": "many", "NUMBER": "7", "EMPTY": "", "HOME": "/home/anna",
		"DATABASE_URL": "postgres://app:hunter2@db/prod", "API_TOKEN": "t0k3n-t0k3n",
	}
}

// load loads text as upkeep.yaml in a folder of its own.
func load(t *testing.T, text string, env map[string]string) (*configs.Config, error) {
	t.Helper()
	return configs.Load(write(t, text), testCatalog(env))
}

func mustLoad(t *testing.T, text string, env map[string]string) *configs.Config {
	t.Helper()
	c, err := load(t, text, env)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
