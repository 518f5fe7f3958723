package main_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// lookPath is exec.LookPath; the linter lets only tests use it here.
func lookPath(name string) (string, error) { return exec.LookPath(name) }

// TestScripts runs testdata/script: one file per behavior of the command line.
// UPKEEP_TEST_UPDATE=1 writes the goldens anew.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       os.Getenv("UPKEEP_TEST_UPDATE") != "",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup:               setScene,
		Cmds:                scriptCommands(),
	})
}

// serverVariable is the name of a variable that tells where a server of the tests
// is, other than PostgreSQL.
var serverVariable = regexp.MustCompile(`^UPKEEP_TEST_(REDIS|S3|SMTP)_`)

// TestScripts_Postgres runs testdata/postgres, each on a ledger of its own.
func TestScripts_Postgres(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "postgres"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			address := ledgertest.Postgres(t).Reveal()
			u, err := url.Parse(address)
			if err != nil {
				return err
			}
			password, _ := u.User.Password()
			env.Setenv("UPKEEP_LEDGER", address)
			env.Setenv("PASSWORD", password)
			for _, setting := range os.Environ() {
				if name, value, _ := strings.Cut(setting, "="); serverVariable.MatchString(name) {
					env.Setenv(name, value)
				}
			}
			return setScene(env)
		},
		Cmds: scriptCommands(),
	})
}

// setScene gives a script a known environment and a place for what it starts.
func setScene(env *testscript.Env) error {
	env.Setenv("TZ", "UTC")
	env.Setenv("TERM", "xterm-256color")
	// Scripts run beside each other; those about the web server say where.
	env.Setenv(configs.ListenVariable, "off")
	// A process with the race detector waits a second at its end by default.
	env.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	repository, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	env.Setenv("REPOSITORY", repository)
	cast := &cast{actors: map[string]*actor{}}
	env.Values[castKey{}] = cast
	env.Defer(cast.end)
	return nil
}
