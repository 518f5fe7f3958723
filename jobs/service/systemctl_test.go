package service_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/service"
)

// fakeSystemctl is a stand-in for the program, with its state in a file.
const fakeSystemctl = `#!/bin/sh
state=$1; shift
while [ "${1#--no-}" != "$1" ]; do shift; done
echo "$*" >>"$state.calls"
case $1 in
show)
	if [ -e "$state.failed" ]; then active=failed sub=failed pid=0 result=exit-code; else active=active sub=running pid=7 result=success; fi
	printf 'Id=%s\nLoadState=loaded\nActiveState=%s\nSubState=%s\nType=notify\nResult=%s\nNRestarts=0\nMainPID=%s\nMemoryCurrent=[not set]\nInvocationID=x%s\nCanReload=yes\n' \
		"$4" "$active" "$sub" "$result" "$pid" "$pid" ;;
restart)
	if [ -e "$state.bad" ]; then : >"$state.failed"; echo "Job for $3 failed because the control process exited with error code." >&2; exit 1; fi
	if [ -e "$state.denied" ]; then echo "Failed to restart $3: Interactive authentication required." >&2; exit 1; fi ;;
esac
`

func TestRun_StandInForSystemctl(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, file, want, hint string }{
		{"Well", "", "", ""},
		{"Bad", ".bad", "systemd says failed; the unit is failed (failed), result exit-code", "systemctl status"},
		{"Denied", ".denied", "Interactive authentication required", "polkit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			program, state := filepath.Join(dir, "systemctl"), filepath.Join(dir, "state")
			if err := os.WriteFile(program, []byte(fakeSystemctl), 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.file != "" {
				if err := os.WriteFile(state+tt.file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a := attemptOn(t, nil, jobs.Hooks{}, func(o *service.Options) {
				o.Restart, o.Systemctl = unit.Names{"api"}, unit.Command{"/bin/sh", program, state}
			})
			if tt.want == "" {
				if r := a.run(t); r.Summary != "api.service restarted and verified" {
					t.Errorf("%q", r.Summary)
				}
				return
			}
			_, err := a.failure(t, tt.want)
			if !strings.Contains(jobs.HintOf(err), tt.hint) {
				t.Errorf("hint %q", jobs.HintOf(err))
			}
		})
	}
}

// Where there is no bus the systemctl of PATH serves: see TestMain.
func TestRun_StandInForSystemctl_Fallback(t *testing.T) {
	t.Parallel()
	a := attemptOn(t, nil, jobs.Hooks{}, restart("api"))
	service.WithoutBus(a.job)
	if r := a.run(t); r.Summary != "api.service restarted and verified" || !strings.Contains(a.out.String(), "by systemctl") {
		t.Errorf("%q\n%s", r.Summary, a.out)
	}
	a = attemptOn(t, nil, jobs.Hooks{}, func(o *service.Options) { o.Restart, o.Bus = unit.Names{"api"}, "unix:path=/nonexistent" })
	a.fails(t, "connect to systemd by D-Bus") // a bus that was named is not left out
}

// Validation checks jobs before there is any run.
func TestCheck_StandInForSystemctl_BeforeAnyRun(t *testing.T) {
	t.Parallel()
	a := attemptOn(t, nil, jobs.Hooks{}, restart("api"))
	service.WithoutBus(a.job)
	checker, ok := a.job.(jobs.Checker)
	if !ok {
		t.Fatal("the job checks nothing")
	}
	if err := checker.Check(t.Context(), jobs.NewEnv(jobs.Env{Root: t.TempDir()}, jobs.Hooks{DryRun: true})); err != nil {
		t.Error(err)
	}
}

func FuzzReadShow(f *testing.F) {
	f.Add("Id=a.service\nLoadState=loaded\nActiveState=active\nNRestarts=3\n")
	f.Add("Id=\x00\nLoadState=\xff\nActiveState==\nNRestarts=18446744073709551615\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		active, restarts, err := service.ReadShow(text)
		if err == nil && active == "" || strings.ContainsAny(active, " \n\x00") || restarts == 1<<64-1 {
			t.Errorf("%q, %d, %v", active, restarts, err)
		}
	})
}
