package packages_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/packages"
)

// recorded is what apt 2.6 said, with the names shortened.
const recorded = `Reading package lists...
The following packages have been kept back:
  linux-image-amd64 firefox-esr
  libfoo:i386
The following packages will be upgraded:
  openssl
Inst openssl [3.0.14-1~deb12u1] (3.0.15-1~deb12u1 Debian:12.9/stable, Debian-Security:12/stable-security [amd64]) [libssl3:amd64 ]
Inst libssl3 [3.0.14-1] (3.0.15-1 Debian-Security:12/stable-security [amd64])
Inst libgcc-s1:i386 [12.2.0-14] (12.2.0-14+deb12u1 Debian:12.9/stable [i386])
Inst linux-image-6.1.0-31-amd64 (6.1.128-1 Debian-Security:12/stable-security [amd64])
Inst jammy-tool [1:2.0] (1:2.1 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [all])
Inst local [1] (2 [all])
Remv libold [1.0] [other:amd64 ]
Conf openssl (3.0.15-1~deb12u1 Debian-Security:12/stable-security [amd64])
`

func TestReadSimulation(t *testing.T) {
	t.Parallel()
	got, err := packages.ReadSimulation(recorded)
	if err != nil {
		t.Fatal(err)
	}
	want := packages.Simulated{
		Changes: []string{
			"openssl 3.0.14-1~deb12u1 to 3.0.15-1~deb12u1", "libssl3 3.0.14-1 to 3.0.15-1", "libgcc-s1:i386 12.2.0-14 to 12.2.0-14+deb12u1",
			"linux-image-6.1.0-31-amd64 6.1.128-1 (new)", "jammy-tool 1:2.0 to 1:2.1", "local 1 to 2",
		},
		Removed: []string{"libold"}, KeptBack: []string{"linux-image-amd64", "firefox-esr", "libfoo:i386"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	secure, err := packages.SecureChanges(recorded, "Debian-Security:*", "*-security")
	if diff := cmp.Diff([]string{"openssl", "libssl3", "jammy-tool"}, secure); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestReadSimulation_Hostile(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"Inst --option [1] (2 X:1/x [all])", "Inst a$(reboot) [1] (2 X:1/x [all])", "Inst a=b [1] (2 X:1/x [all])", "Inst a [1] (2;rm X:1/x [all])",
		"Inst a [1] (2", "Inst", "Inst ", "Inst a", "Inst a [1]", "Inst \x1b[2Ja [1] (2 X:1/x [all])", "Remv", "Remv -x [1]", "Remv a b", "Inst a [1] (-o X:1/x [all])",
	} {
		if got, err := packages.ReadSimulation(line + "\n"); err == nil {
			t.Errorf("%q is read as %+v", line, got)
		}
	}
	if got, err := packages.ReadSimulation("The following packages have been kept back:\n  --force a\n"); err == nil {
		t.Errorf("read as %+v", got)
	}
}

func FuzzReadSimulation(f *testing.F) {
	f.Add(recorded)
	f.Add("Inst a [1] (2 L:1/s [all])\n")
	f.Add("Inst a [1] (2 L, M (9 Debian-Security:1/x [all])\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := packages.ReadSimulation(text)
		if err != nil {
			return
		}
		for _, c := range append(got.Changes, append(got.Removed, got.KeptBack...)...) {
			if strings.HasPrefix(c, "-") || strings.ContainsAny(strings.TrimSuffix(c, " (new)"), "$;&|<>`'\"\\()\x00\x1b\n") {
				t.Errorf("%q comes out of %q", c, text)
			}
		}
	})
}

func TestReadStatus(t *testing.T) {
	t.Parallel()
	text := "bash\tamd64\t5.2\tii \nlibc6\ti386\t2.36\tii \nfont\tall\t1\thi \ngone\tamd64\t1\trc \nhalf\tamd64\t2\tiF \n" +
		"open\tamd64\t2\tiU \nbad\tamd64\t2\tiHR\nwait\tamd64\t1\tiW \nrun\tamd64\t1\tit \nanew\tamd64\t1\tiiR\n"
	installed, broken, err := packages.ReadStatus(text, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"bash": "5.2", "libc6:i386": "2.36", "font": "1", "anew": "1"}, installed); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	want := []string{
		"half is half configured", "open is unpacked but not configured", "bad is half installed",
		"wait is waiting for another package's trigger", "run is with a trigger to run", "anew must be installed anew",
	}
	if diff := cmp.Diff(want, broken); diff != "" {
		t.Errorf("broken (-want +got):\n%s", diff)
	}
	for _, text := range []string{"bash\n", "bash\tamd64\t5.2\t\n", "-x\tamd64\t1\tii \n", "a\tamd64\t$(x)\tii \n", "\n"} {
		if _, _, err := packages.ReadStatus(text, "amd64"); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func TestReadURIs(t *testing.T) {
	t.Parallel()
	bytes, err := packages.ReadURIs("Reading package lists...\n'http://x/a_2%7e1.deb' a_2~1_all.deb 692 SHA256:00\n'file:/b.deb' b.deb 8 \n")
	if bytes != 700 || err != nil {
		t.Errorf("%d, %v", bytes, err)
	}
	if _, err := packages.ReadURIs("'u' a 99999999999999999999 \n"); err == nil {
		t.Error("a size beyond all bounds is read")
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{"postgresql*", "postgresql-15", true},
		{"postgresql", "postgresql-15", false},
		{"*-security", "Debian-Security:12/stable-security", true},
		{"*-security", "Debian:12/stable-security-proposed", false},
		{"Debian-Security:*", "debian-security:12/stable", true},
		{"a*b*c", "a1b2c", true},
		{"a*b*c", "acb", false},
		{"a*a", "a", false},
		{"*", "", true},
	}
	for _, tt := range tests {
		if got := packages.Matches([]string{tt.pattern}, tt.text); got != tt.want {
			t.Errorf("%q, %q: %v", tt.pattern, tt.text, got)
		}
	}
}

func TestOwnLast(t *testing.T) {
	t.Parallel()
	got := packages.OwnLast("upkeep", "upkeep", "zsh", "bash")
	if diff := cmp.Diff([]string{"bash", "zsh", "upkeep"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		adjust func(*packages.Options)
		want   string
	}{
		{"Defaults", func(*packages.Options) {}, ""},
		{"Policy", func(o *packages.Options) { o.Policy = "some" }, "neither security nor all"},
		{"NoOrigins", func(o *packages.Options) { o.SecurityFrom = nil }, "nothing would count"},
		{"Block", func(o *packages.Options) { o.Block = []string{"a;b"} }, "not a pattern"},
		{"BlockOption", func(o *packages.Options) { o.Block = []string{"--x"} }, "not a pattern"},
		{"Conffiles", func(o *packages.Options) { o.Conffiles = "ask" }, "neither keep nor new"},
		{"Update", func(o *packages.Options) { o.Update = "" }, "none of strict"},
		{"Full", func(o *packages.Options) { o.Full, o.NewPackages = true, false }, "contradicts"},
		{"Max", func(o *packages.Options) { o.MaxPackages = 0 }, "at least 1"},
		{"Finish", func(o *packages.Options) { o.FinishWithin = 0 }, "killed in the middle"},
		{"BackupAlone", func(o *packages.Options) { o.Backup = "daily.backup" }, "requires_backup_within is not given"},
		{"WithinAlone", func(o *packages.Options) { o.BackupWithin = 1 }, "it needs backup"},
		{"BackupName", func(o *packages.Options) { o.Backup, o.BackupWithin = "backup", 1 }, "not WORKFLOW.JOB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			given := packages.Kind().Options()
			tt.adjust(jobstest.Options[packages.Options](t, given))
			_, err := packages.Kind().Build(given, jobstest.NewDeps(t))
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
