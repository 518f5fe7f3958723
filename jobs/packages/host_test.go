package packages_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/packages"
)

// host is a private root that the real apt and dpkg work on, with a repository
// of tiny packages on disk. The packages of this machine are never touched.
type host struct {
	root string
	// repos are the folders of repositories by label.
	repos map[string]string
}

// tiny is a package to build.
type tiny struct {
	name, version string
	// control are further fields, each line with its end.
	control string
	// scripts are maintainer scripts by name.
	scripts map[string]string
	// conf is the content of the configuration file /etc/NAME.conf, if any.
	conf string
}

const (
	plain    = "Debian"
	security = "Debian-Security"
)

func newHost(t *testing.T, root string) *host {
	t.Helper()
	h := &host{root: filepath.Join(root, "sys"), repos: map[string]string{}}
	for _, dir := range []string{
		"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt", "var/run", "etc",
		"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "etc/apt/sources.list.d",
	} {
		mkdir(t, filepath.Join(h.root, dir))
	}
	write(t, filepath.Join(h.root, "var/lib/dpkg/status"), "")
	write(t, filepath.Join(h.root, "etc/apt/sources.list"), "")
	write(t, h.config(), fmt.Sprintf(`Dir "%[1]s/";
Dir::State::status "%[1]s/var/lib/dpkg/status";
APT::Sandbox::User "root";
DPkg::Options { %[2]s };
`, h.root, `"`+strings.Join(h.dpkgOptions(), `"; "`)+`";`))
	return h
}

func (h *host) config() string { return filepath.Join(h.root, "apt.conf") }

func (h *host) dpkgOptions() []string {
	return []string{
		"--instdir=" + h.root, "--admindir=" + filepath.Join(h.root, "var/lib/dpkg"), "--log=/dev/null",
		"--force-script-chrootless", "--force-not-root",
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "SOURCE_DATE_EPOCH=1") // equal packages are equal files
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// build makes a .deb and returns its path.
func (h *host) build(t *testing.T, p tiny) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "usr/share", p.name, "version"), p.version+"\n")
	write(t, filepath.Join(dir, "DEBIAN/control"), fmt.Sprintf(
		"Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: T <t@example.com>\nDescription: tiny\n%s", p.name, p.version, p.control))
	for name, text := range p.scripts {
		path := filepath.Join(dir, "DEBIAN", name)
		write(t, path, "#!/bin/sh\nset -e\n"+text+"\n")
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if p.conf != "" {
		write(t, filepath.Join(dir, "etc", p.name+".conf"), p.conf)
		write(t, filepath.Join(dir, "DEBIAN/conffiles"), "/etc/"+p.name+".conf\n")
	}
	deb := filepath.Join(t.TempDir(), fmt.Sprintf("%s_%s_all.deb", p.name, p.version))
	run(t, "dpkg-deb", "-b", dir, deb)
	return deb
}

// install installs packages as a person would have, long ago.
func (h *host) install(t *testing.T, list ...tiny) {
	t.Helper()
	args := append(h.dpkgOptions(), "-i")
	for _, p := range list {
		args = append(args, h.build(t, p))
	}
	run(t, "dpkg", args...)
}

// publish makes a repository of packages, in place of one with that label.
func (h *host) publish(t *testing.T, label string, list ...tiny) {
	t.Helper()
	repo := filepath.Join(filepath.Dir(h.root), "repo-"+label)
	if err := os.RemoveAll(repo); err != nil {
		t.Fatal(err)
	}
	mkdir(t, repo)
	var index bytes.Buffer
	for _, p := range list {
		deb := h.build(t, p)
		content := read(t, deb)
		write(t, filepath.Join(repo, filepath.Base(deb)), content)
		sum := sha256.Sum256([]byte(content))
		fmt.Fprintf(&index, "%sFilename: ./%s\nSize: %d\nSHA256: %s\n\n", run(t, "dpkg-deb", "-f", deb), filepath.Base(deb), len(content), hex.EncodeToString(sum[:]))
	}
	write(t, filepath.Join(repo, "Packages"), index.String())
	suite := "stable"
	if label == security {
		suite = "stable-security"
	}
	sum := sha256.Sum256(index.Bytes())
	write(t, filepath.Join(repo, "Release"), fmt.Sprintf(
		"Origin: Test\nLabel: %s\nSuite: %s\nVersion: 12\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n %s %d Packages\n", label, suite, hex.EncodeToString(sum[:]), index.Len()))
	h.repos[label] = repo
	sources := ""
	for _, label := range slices.Sorted(mapsKeys(h.repos)) {
		// copy: makes apt download, which file: would spare it.
		sources += fmt.Sprintf("deb [trusted=yes] copy:%s ./\n", h.repos[label])
	}
	write(t, filepath.Join(h.root, "etc/apt/sources.list"), sources)
}

func mapsKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// apt runs apt-get or another program of apt on the host.
func (h *host) apt(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "APT_CONFIG="+h.config())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// status is NAME VERSION STATUS of each package, a line each.
func (h *host) status(t *testing.T) string {
	t.Helper()
	return run(t, "dpkg-query", "--admindir="+filepath.Join(h.root, "var/lib/dpkg"), "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n")
}

// options points a job at the host.
func (h *host) options(t testing.TB, options any) *packages.Options {
	t.Helper()
	o := jobstest.Options[packages.Options](t, options)
	o.Config = unit.Path(h.config())
	o.Policy = "all"
	o.MinFree = 1 << 20
	return o
}
