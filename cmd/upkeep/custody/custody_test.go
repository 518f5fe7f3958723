package custody_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	alertsall "github.com/ghosteam/upkeep/alerts/all"
	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	objectall "github.com/ghosteam/upkeep/storage/object/all"
	"github.com/ghosteam/upkeep/web/api"
)

// recipient can encrypt; nobody here has what decrypts.
const recipient = "age1s5ns9h0chrdrusm5rhp3mj80xdahvl7ch63jed27arf6nzn6ncls9ly6pe"

const config = `timezone: UTC
node: db-1
ballast: off
stores:
  open: {kind: local, path: open}
  closed: {kind: local, path: closed, encrypt_to: ` + recipient + `}
databases:
  shop: {kind: postgres, url: "postgres://nobody:planted@127.0.0.1:1/shop"}
workflows:
  daily:
    jobs:
      files: {kind: archive, with: {paths: [data], store: open, keep: {last: 5, min_keep: 1}}}
      more: {kind: archive, with: {paths: [data], store: open}}
  sealed:
    jobs:
      files: {kind: archive, with: {paths: [data], store: closed}}
  idle:
    jobs:
      none: {kind: script, with: {run: ["true"]}}
`

// house is a folder with a configuration and what its jobs made.
type house struct {
	t   *testing.T
	dir string
	cfg *configs.Config
	// said is what the custodian says.
	said bytes.Buffer
	o    custody.Options
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	h.write("data/a.txt", "plain as day")
	h.write("var/upkeep.db", "a ledger")
	h.load(config)
	return h
}

func (h *house) write(name, text string) {
	h.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(h.path(name)), 0o700), os.WriteFile(h.path(name), []byte(text), 0o600)); err != nil {
		h.t.Fatal(err)
	}
}

// load gives the house another configuration.
func (h *house) load(text string) {
	h.t.Helper()
	h.write("upkeep.yaml", text)
	var err error
	h.cfg, err = configs.Load(h.path("upkeep.yaml"), configs.Catalog{
		Kinds: jobsall.Kinds(), Stores: object.NewRegistry(objectall.Kinds()...), Channels: alerts.NewRegistry(alertsall.Kinds()...), Getenv: os.LookupEnv,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.o = custody.Options{Config: h.cfg, Version: "test", Own: []string{h.path("var/upkeep.db")}, Out: &h.said}
}

func (h *house) path(name string) string { return filepath.Join(h.dir, name) }

// makes has a job make an artifact, and returns its ID.
func (h *house) makes(workflow, job string) string {
	h.t.Helper()
	makers := custody.Makers(h.cfg, custody.Scope{Workflow: workflow, Job: job})
	if len(makers) != 1 {
		h.t.Fatalf("%d jobs are %s.%s", len(makers), workflow, job)
	}
	made, _, err := makers[0].Job.Build(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	env := jobs.Env{
		RunID: "r", Workflow: workflow, Job: job, Attempt: 1, Trigger: "manual", Slot: time.Now().UTC(), Node: "db-1", Version: "test",
		Root: h.cfg.Root, WorkDir: h.t.TempDir(), KillGrace: time.Second,
	}
	r, err := made.Run(h.t.Context(), jobs.NewEnv(env, jobs.Hooks{}))
	if err != nil || len(r.Artifacts) == 0 {
		h.t.Fatalf("%s.%s made %v, %v", workflow, job, r.Artifacts, err)
	}
	list, err := custody.New(h.o).Artifacts(h.t.Context(), custody.Scope{Workflow: workflow, Job: job})
	if err != nil || len(list) == 0 {
		h.t.Fatalf("artifacts: %v, %v", list, err)
	}
	return list[0].Manifest.ID
}

// tree is every file of the house with what is in it.
func (h *house) tree() map[string]string {
	h.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(h.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, h.dir)] = string(text)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// problem is how an error is answered: a code, or the rail that refused.
func problem(err error) string {
	if p, is := errors.AsType[*api.Problem](err); is {
		return string(p.Code)
	}
	if refused, is := errors.AsType[*jobs.RefusedError](err); is {
		return "rail " + refused.Rail
	}
	return fmt.Sprint(err)
}

// TestCustodian_Refuses: what makes no sense, or must not be, is refused with a
// reason, and changes nothing.
func TestCustodian_Refuses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	plain, sealed := h.makes("daily", "files"), h.makes("sealed", "files")
	h.makes("daily", "more")
	if err := os.Link(h.path("var/upkeep.db"), h.path("link.db")); err != nil {
		t.Fatal(err)
	}
	before, now := h.tree(), time.Now()
	nobodys := object.NewID(now)
	ctx := t.Context()
	verify := func(r api.VerifyRequest) func(*custody.Custodian) error {
		return func(c *custody.Custodian) error { return second(c.Verify(ctx, r)) }
	}
	drill := func(r api.DrillRequest) func(*custody.Custodian) error {
		return func(c *custody.Custodian) error { return second(c.Drill(ctx, r)) }
	}
	restore := func(r api.RestoreRequest) func(*custody.Custodian) error {
		return func(c *custody.Custodian) error { return second(c.Restore(ctx, r)) }
	}
	prune := func(r api.PruneRequest) func(*custody.Custodian) error {
		return func(c *custody.Custodian) error { return second(c.Prune(ctx, r)) }
	}
	for name, tt := range map[string]struct {
		do         func(*custody.Custodian) error
		want, says string
	}{
		"verify, newest and all":           {verify(api.VerifyRequest{Newest: true, All: true}), "invalid", "exclude each other"},
		"verify, of nothing":               {verify(api.VerifyRequest{}), "invalid", "say which artifact"},
		"verify, no id":                    {verify(api.VerifyRequest{Artifact: "daily"}), "not_found", `"daily" is not the id`},
		"verify, nobody's":                 {verify(api.VerifyRequest{Artifact: nobodys}), "not_found", "no store holds"},
		"verify, in the other store":       {verify(api.VerifyRequest{Artifact: plain, Store: "closed"}), "not_found", "no store holds"},
		"verify, no such store":            {verify(api.VerifyRequest{All: true, Store: "offsite"}), "not_found", `no store "offsite"`},
		"verify, a job that makes nothing": {verify(api.VerifyRequest{All: true, Artifact: "idle.none"}), "not_found", "there are no artifacts"},
		"verify, deeper than is possible":  {verify(api.VerifyRequest{Artifact: sealed, Level: object.L2}), "", "L2 needs an identity"},
		"drill, keep a server":             {drill(api.DrillRequest{Artifact: plain, Keep: true, Level: object.L4}), "invalid", "keep is for L3"},
		"drill, an id and a time":          {drill(api.DrillRequest{Artifact: plain, At: &now}), "invalid", "--at is for"},
		"drill, before there was any":      {drill(api.DrillRequest{Artifact: "daily", At: &time.Time{}}), "not_found", "there are no artifacts"},
		"restore, of nothing":              {restore(api.RestoreRequest{To: h.path("new")}), "invalid", "say which artifact"},
		"restore, an id and a time":        {restore(api.RestoreRequest{Artifact: plain, At: &now, To: h.path("new")}), "invalid", "--at is for"},
		"restore, of several jobs":         {restore(api.RestoreRequest{Artifact: "daily", To: h.path("new")}), "invalid", "artifacts of several jobs"},
		"restore, before there was any":    {restore(api.RestoreRequest{Artifact: "daily.files", At: &time.Time{}, To: h.path("new")}), "not_found", "fits"},
		"restore, what it cannot":          {restore(api.RestoreRequest{Artifact: plain, To: h.path("new"), Create: true}), "invalid", "--create is not for"},
		"restore, a relative path":         {restore(api.RestoreRequest{Artifact: plain, To: "new"}), "invalid", "no absolute path"},
		"restore, over the ledger":         {restore(api.RestoreRequest{Artifact: plain, To: h.path("var/upkeep.db"), Replace: true}), "rail own files", "belongs to upkeep itself"},
		"restore, over it by a link":       {restore(api.RestoreRequest{Artifact: plain, To: h.path("link.db"), Replace: true}), "rail own files", "belongs to upkeep itself"},
		"restore, over it by a way":        {restore(api.RestoreRequest{Artifact: plain, To: h.path("data/../var/upkeep.db"), Replace: true}), "rail own files", "belongs to upkeep itself"},
		"restore, what cannot be read":     {restore(api.RestoreRequest{Artifact: sealed, To: h.path("new")}), "", "identity"},
		"restore, over what is there":      {restore(api.RestoreRequest{Artifact: plain, To: h.path("data")}), "rail empty target", "could overwrite"},
		"undo, over the ledger":            {restore(api.RestoreRequest{Undo: true, To: h.path("var/upkeep.db")}), "rail own files", "belongs to upkeep itself"},
		"undo, with an artifact":           {restore(api.RestoreRequest{Undo: true, Artifact: plain, To: h.path("data")}), "invalid", "no artifact"},
		"undo, with a demand":              {restore(api.RestoreRequest{Undo: true, Replace: true, To: h.path("data")}), "invalid", "exclude each other"},
		"undo, of nothing":                 {restore(api.RestoreRequest{Undo: true, To: h.path("nothing.db")}), "not_found", "undo the restore of"},
		"undo, of a folder":                {restore(api.RestoreRequest{Undo: true, To: h.path("data")}), "rail replace", "not a regular file"},
		"prune, no such store":             {prune(api.PruneRequest{Store: "offsite", Apply: true}), "not_found", `no store "offsite"`},
		"prune, a job that makes nothing":  {prune(api.PruneRequest{Workflow: "idle", Apply: true}), "not_found", "makes artifacts"},
	} {
		o := h.o
		o.Absolute, o.Out = true, nil
		err := tt.do(custody.New(o))
		if got := problem(err); err == nil || tt.want != "" && got != tt.want || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %s: %v, want %s: %s", name, got, err, tt.want, tt.says)
		}
	}
	if diff := cmp.Diff(before, h.tree()); diff != "" {
		t.Errorf("what was refused changed something (-before +after):\n%s", diff)
	}
}

func second[T any](_ T, err error) error { return err }

// TestCustodian_PruneUnread: nothing goes from any store while one cannot be read
// to its end.
func TestCustodian_PruneUnread(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makes("daily", "files")
	h.makes("daily", "files")
	h.makes("sealed", "files")
	h.load(strings.Replace(config, "last: 5", "last: 1", 1))
	if err := errors.Join(os.Rename(h.path("closed"), h.path("away")), os.WriteFile(h.path("closed"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	before := h.tree()
	if out, err := custody.New(h.o).Prune(t.Context(), api.PruneRequest{Apply: true}); err == nil || out.Number != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if diff := cmp.Diff(before, h.tree()); diff != "" {
		t.Errorf("something went (-before +after):\n%s", diff)
	}
	// Who asks for the store that can be read has it done there.
	out, err := custody.New(h.o).Prune(t.Context(), api.PruneRequest{Workflow: "daily", Job: "files", Store: "open", Apply: true})
	if err != nil || out.Number != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestCustodian_Damaged: damage is told, put on record and stays there; a restore
// passes it over.
func TestCustodian_Damaged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sound, damaged := h.makes("daily", "files"), h.makes("daily", "files")
	parts, err := filepath.Glob(h.path("open/daily/files/" + damaged + "/*"))
	if err != nil {
		t.Fatal(err)
	}
	hit := 0
	for _, part := range parts {
		if filepath.Base(part) == "manifest.json" {
			continue
		}
		text, err := os.ReadFile(part)
		if err == nil && len(text) > 0 {
			hit++
			text[len(text)/2] ^= 0xff
			err = os.WriteFile(part, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if hit == 0 {
		t.Fatalf("nothing to damage in %v", parts)
	}
	c := custody.New(h.o)
	if _, err := c.Verify(t.Context(), api.VerifyRequest{Artifact: damaged}); !errors.Is(err, object.ErrDamaged) || !strings.Contains(jobs.HintOf(err), "upkeep backup list daily.files") {
		t.Errorf("verify: %v (%s)", err, jobs.HintOf(err))
	}
	list, err := c.Artifacts(t.Context(), custody.Scope{Workflow: "daily"})
	if err != nil || len(list) != 2 || list[0].Proof == nil || list[0].Proof.Damage == "" {
		t.Fatalf("on record: %+v, %v", list, err)
	}
	worked, err := c.Restore(t.Context(), api.RestoreRequest{Artifact: "daily.files", To: h.path("new")})
	if err != nil || worked.Restored.Artifact != sound || !strings.Contains(h.said.String(), damaged+" is passed over: it was found damaged") {
		t.Errorf("restore: %+v, %v\n%s", worked.Restored, err, h.said.String())
	}
	if text, err := os.ReadFile(h.path("new/data/a.txt")); err != nil || string(text) != "plain as day" {
		t.Errorf("restored %q, %v", text, err)
	}
}

// TestCustodian_Canceled: an end that is asked for is no verdict about anything.
func TestCustodian_Canceled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makes("daily", "files")
	before := h.tree()
	why := errors.New("the service ends")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	c := custody.New(h.o)
	for name, err := range map[string]error{
		"verify":  second(c.Verify(ctx, api.VerifyRequest{All: true})),
		"drill":   second(c.Drill(ctx, api.DrillRequest{})),
		"restore": second(c.Restore(ctx, api.RestoreRequest{Artifact: "daily.files", To: h.path("new")})),
		"prune":   second(c.Prune(ctx, api.PruneRequest{Apply: true})),
	} {
		if !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(before, h.tree()); diff != "" {
		t.Errorf("it changed something (-before +after):\n%s", diff)
	}
}
