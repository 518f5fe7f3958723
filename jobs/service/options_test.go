package service_test

import (
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/service"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		adjust func(*service.Options)
		want   string
	}{
		{"Nothing", func(*service.Options) {}, "names a unit"},
		{"Two", func(o *service.Options) { o.Restart, o.Stop = unit.Names{"a"}, unit.Names{"b"} }, "a job for each"},
		{"SSH", restart("ssh"), "the host lives by"},
		{"SSHD", restart("sshd.service"), "the host lives by"},
		{"Systemd", restart("systemd-journald"), "the host lives by"},
		{"DBus", restart("dbus.socket"), "the host lives by"},
		{"Target", restart("multi-user.target"), "the host lives by"},
		{"Hostile", restart("--force"), "not the name of a unit"},
		{"Shell", restart("a;reboot"), "not the name of a unit"},
		{"Long", restart(strings.Repeat("a", 250)), "not the name of a unit"},
		{"Twice", restart("api", "api.service"), "named twice"},
		{"Many", restart("a", "b", "c", "d", "e", "f"), "more than 5"},
		{"NoTime", func(o *service.Options) { o.Restart, o.Verify.Within = unit.Names{"a"}, o.Verify.Stable }, "no time"},
		{"Password", func(o *service.Options) { o.Restart, o.Verify.HTTP = unit.Names{"a"}, "http://u:p@h/" }, "password"},
		{"NotHTTP", func(o *service.Options) { o.Restart, o.Verify.HTTP = unit.Names{"a"}, "file:///etc/passwd" }, "URL of http"},
		{"NotTCP", func(o *service.Options) { o.Restart, o.Verify.TCP = unit.Names{"a"}, "host" }, "HOST:PORT"},
		{"ProbeOfStopped", func(o *service.Options) { o.Stop, o.Verify.TCP = unit.Names{"a"}, "h:1" }, "answers no probe"},
		{"NoCheck", func(o *service.Options) { o.Restart, o.Verify.Check = unit.Names{"a"}, "nope" }, `no check "nope"`},
		{"Critical", func(o *service.Options) { o.Restart, o.AllowCritical = unit.Names{"ssh"}, true }, ""},
		{"Template", restart("worker@1"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			given := service.Kind().Options()
			tt.adjust(jobstest.Options[service.Options](t, given))
			_, err := service.Kind().Build(given, jobstest.NewDeps(t))
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
