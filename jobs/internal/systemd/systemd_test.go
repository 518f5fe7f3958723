package systemd_test

import (
	"testing"

	"github.com/ghosteam/upkeep/jobs/internal/systemd"
)

func TestUnitOf(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, cgroup, want string }{
		{"Service", "0::/system.slice/upkeep.service\n", "upkeep.service"},
		{"BelowAService", "0::/system.slice/upkeep.service/job-1\n", "upkeep.service"},
		{"Template", "0::/system.slice/system-upkeep.slice/upkeep@a.service\n", "upkeep@a.service"},
		{"UserService", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/upkeep.service\n", "upkeep.service"},
		{"Login", "0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"},
		{"Hybrid", "4:memory:/other.service\n1:name=systemd:/system.slice/upkeep.service\n0::/\n", "upkeep.service"},
		{"ControllersDoNotCount", "4:memory:/system.slice/upkeep.service\n0::/\n", ""},
		{"Container", "0::/\n", ""},
		{"Empty", "", ""},
		{"Broken", "0\n::\nx:y", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := systemd.UnitOf(tt.cgroup); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestOutliving_KeepsTheProgram(t *testing.T) {
	t.Parallel()
	argv, err := systemd.Outliving([]string{"true", "-x"})
	if err != nil || len(argv) < 2 || argv[len(argv)-2] != "true" || argv[len(argv)-1] != "-x" {
		t.Errorf("%q, %v", argv, err)
	}
}
