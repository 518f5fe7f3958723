package certificate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/certificate"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/runner/retry"
)

const token = "planted-dns-token-0123456789"

// renewing arranges a certificate that is due below root, a program that puts a
// new one in its place, a server that shows what was loaded, and a reload.
func renewing(t testing.TB, root string, o *certificate.Options) {
	t.Helper()
	ca := newAuthority(t)
	ca.save(t, root, "live/web/cert", ca.server(t, 80, 10))
	ca.save(t, root, "next", ca.server(t, 1, 89))
	ca.save(t, root, "loaded", ca.server(t, 80, 10))
	write(t, filepath.Join(root, "ca.pem"), pemOf(ca.root.cert))
	for _, suffix := range []string{".pem", ".key"} {
		text, err := os.ReadFile(filepath.Join(root, "live/web/cert"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, "loaded"+suffix), text)
	}
	copied := func(from, to string) string {
		return fmt.Sprintf(`for s in key pem; do cp '%[1]s/%[2]s.'$s '%[1]s/%[3]s.new' && mv '%[1]s/%[3]s.new' '%[1]s/%[3]s.'$s; done`, root, from, to)
	}
	o.Timeout = unit.Duration(30 * time.Second)
	o.Certificates = []certificate.Certificate{{
		File: unit.Path(filepath.Join(root, "live/web/cert.pem")), Key: unit.Path(filepath.Join(root, "live/web/cert.key")),
		CA: unit.Path(filepath.Join(root, "ca.pem")), Served: []certificate.Place{{Address: serveFiles(t, root, "loaded")}},
	}}
	o.Renew = &certificate.Renew{
		Run: []string{"/bin/sh", "-c", `echo "$CERTIFICATE" >> '` + root + `/asked'; echo "the token is $TOKEN"; ` + copied("next", "live/web/cert")},
		Env: map[string]secret.String{"TOKEN": secret.New(token)}, Reload: unit.Command{"/bin/sh", "-c", copied("live/web/cert", "loaded")},
		Within: unit.Duration(30 * time.Second),
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func TestRenew(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var options certificate.Options
	options.Warn, options.Crit = 25, 12.5
	renewing(t, root, &options)
	use := func(change func(o *certificate.Options)) func(o *certificate.Options) {
		return func(o *certificate.Options) {
			*o = options
			renew := *options.Renew
			o.Renew = &renew
			if change != nil {
				change(o)
			}
		}
	}
	r, out, err := run(t, jobs.Hooks{DryRun: true}, use(nil))
	if err != nil || !strings.Contains(out, "would renew certificate web (10.0 days, 11 % of its lifetime left)") || !strings.Contains(out, "would have the certificates loaded") || read(t, root+"/asked") != "" {
		t.Errorf("dry run: %+v, %v\n%s", r, err, out)
	}
	r, _, err = run(t, jobs.Hooks{}, use(nil))
	want := []jobs.Event{{Kind: "certificate", Subject: "web", Text: fmt.Sprintf("renewed: expires %s instead of %s", date(89), date(10))}}
	if diff := cmp.Diff(want, r.Events); err != nil || diff != "" || ids(r) != "" || r.Values["renewed"] != 1 || r.Values["days_left.web"] < 88 {
		t.Errorf("%+v, %v, events (-want +got):\n%s", r, err, diff)
	}
	if r, _, err := run(t, jobs.Hooks{}, use(nil)); err != nil || len(r.Events) != 0 || read(t, root+"/asked") != "web\n" {
		t.Errorf("what was not due was renewed: %+v, %v", r, err)
	}

	// A run that died before the reload: the next one does what is missing.
	next := newAuthority(t)
	next.save(t, root, "live/web/cert", next.server(t, 1, 89))
	write(t, filepath.Join(root, "ca.pem"), pemOf(next.root.cert))
	if r, _, err := run(t, jobs.Hooks{}, use(nil)); err != nil || ids(r) != "" || read(t, root+"/loaded.pem") != read(t, root+"/live/web/cert.pem") {
		t.Errorf("after a crash: %+v, %v", r, err)
	}
	if read(t, root+"/asked") != "web\n" {
		t.Error("a certificate that was not due was renewed after the crash")
	}
	next.save(t, root, "live/web/cert", next.server(t, 1, 88))
	r, _, err = run(t, jobs.Hooks{}, use(func(o *certificate.Options) { o.Renew.Reload, o.Renew.Within = unit.Command{"/bin/true"}, 1 }))
	if err == nil || !strings.Contains(err.Error(), "serves one that expires "+date(89)) || ids(r) != "served=warning" || !strings.Contains(jobs.HintOf(err), "renew.reload") {
		t.Errorf("a reload that loads nothing: %+v, %v", r, err)
	}
	r, _, err = run(t, jobs.Hooks{}, use(func(o *certificate.Options) { o.Renew.Reload = nil }))
	if err != nil || ids(r) != "served=warning" {
		t.Errorf("without a reload: %+v, %v", r, err)
	}
}

func date(days float64) string {
	return time.Now().Add(time.Duration(days * float64(day))).UTC().Format(time.DateOnly)
}

// TestRenewFails: what a program says about its failure is told, without
// secrets, and an authority's limit is not run into again.
func TestRenewFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script, want, hint string
		permanent          bool
	}{
		"nothing new": {"true", "the certificate in", "renew_before_expiry", false},
		"error": {
			`echo "Failed to renew certificate web with error: Some challenges have failed."; echo "  Detail: no $TOKEN"; echo "Ask for help or search for solutions"; exit 1`,
			"exit status 1: Failed to renew certificate web with error: Some challenges have failed.; Detail: no <redacted>", "", false,
		},
		"limit": {
			`echo "Error: urn:ietf:params:acme:error:rateLimited :: too many certificates already issued, retry after 2027-01-01"; exit 1`,
			"too many certificates already issued, retry after 2027-01-01", "the authority allows no more", true,
		},
		"killed":  {"kill -9 $$", "ended by SIGKILL", "", false},
		"missing": {"", "start /nowhere/certbot", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, err := run(t, jobs.Hooks{Scrub: secret.NewRedactor([]string{token}).Scrub}, func(o *certificate.Options) {
				renewing(t, t.TempDir(), o)
				o.Renew.Run = []string{"/bin/sh", "-c", tt.script}
				if tt.script == "" {
					o.Renew.Run = []string{"/nowhere/certbot"}
				}
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(jobs.HintOf(err), tt.hint) || retry.IsPermanent(err) != tt.permanent || len(r.Events) != 0 {
				t.Errorf("%+v, error %v, hint %q, permanent %v", r, err, jobs.HintOf(err), retry.IsPermanent(err))
			}
		})
	}
}

// TestBusy: another certbot is waited for.
func TestBusy(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r, out, err := run(t, jobs.Hooks{}, func(o *certificate.Options) {
		renewing(t, root, o)
		o.Renew.Run[2] = fmt.Sprintf(`if mkdir '%s/busy'; then echo "Another instance of Certbot is already running."; exit 1; fi 2>&1; `, root) + o.Renew.Run[2]
	})
	if err != nil || len(r.Events) != 1 || !strings.Contains(out, "waiting for another certbot") {
		t.Errorf("%+v, %v\n%s", r, err, out)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	probe := jobstest.Fixture{
		Name: "look",
		Arrange: func(t *testing.T, root string, options any, _ *jobstest.Deps) {
			o := jobstest.Options[certificate.Options](t, options)
			renewing(t, root, o)
			o.Renew = nil
		},
	}
	renew := jobstest.Fixture{
		Name: "renew", Effects: true, Secrets: []string{token},
		Arrange: func(t *testing.T, root string, options any, _ *jobstest.Deps) {
			o := jobstest.Options[certificate.Options](t, options)
			renewing(t, root, o)
			o.Renew.Run[2] = strings.Replace(o.Renew.Run[2], `echo "the token is $TOKEN"`, `test -n "$TOKEN"`, 1)
		},
		Settled: func(t *testing.T, root string) {
			if live, next, loaded := read(t, root+"/live/web/cert.pem"), read(t, root+"/next.pem"), read(t, root+"/loaded.pem"); live != next || loaded != next || live == "" {
				t.Error("the new certificate is not in its place, or not loaded")
			}
		},
	}
	failing := renew
	failing.Name, failing.Effects, failing.Settled, failing.Fails = "fails", false, nil, "renew certificate web"
	failing.Arrange = func(t *testing.T, root string, options any, _ *jobstest.Deps) {
		o := jobstest.Options[certificate.Options](t, options)
		renewing(t, root, o)
		o.Renew.Run = []string{"/bin/sh", "-c", "exit 3"}
	}
	jobstest.Exercise(t, certificate.Kind(), probe, renew, failing)
}

func TestEffectful(t *testing.T) {
	t.Parallel()
	for _, renew := range []bool{false, true} {
		options := certificate.Kind().Options()
		o := jobstest.Options[certificate.Options](t, options)
		o.Certificates = []certificate.Certificate{{File: "/etc/letsencrypt/live/a/fullchain.pem"}}
		if renew {
			o.Renew = &certificate.Renew{}
		}
		job, err := certificate.Kind().Build(options, jobstest.NewDeps(t))
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := job.(jobs.Effectful); !ok || (e.Effectful() != nil) != renew {
			t.Errorf("renew %v: effectful %v", renew, e.Effectful())
		}
		if x, ok := job.(jobs.Exclusive); !ok || (len(x.LockKeys()) == 1) != renew {
			t.Errorf("renew %v: locks %v", renew, x.LockKeys())
		}
	}
}
