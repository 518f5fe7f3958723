package cluster_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The two versions of the program have names of one length.
const (
	oldVersion = "9.9.1-cluster"
	newVersion = "9.9.2-cluster"
)

// skewVariable is what a program built with the clock below reads, once.
const skewVariable = "UPKEEP_TEST_CLOCK_SKEW"

// programs are the binaries of two versions.
type programs map[string]string

// buildPrograms builds the program as `make build` does, so that what that has
// compiled is not compiled again. The later version is the same program under
// another name.
func buildPrograms(t *testing.T, skewable bool) programs {
	t.Helper()
	dir := t.TempDir()
	made := programs{oldVersion: filepath.Join(dir, oldVersion), newVersion: filepath.Join(dir, newVersion)}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + oldVersion, "-o", made[oldVersion]}
	if skewable {
		args = append(args, "-overlay", otherClock(t))
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "github.com/ghosteam/upkeep/cmd/upkeep")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	text, err := os.ReadFile(made[oldVersion])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(oldVersion)) {
		t.Fatal("the program does not hold the name of its version")
	}
	text = bytes.ReplaceAll(text, []byte(oldVersion), []byte(newVersion))
	if err := os.WriteFile(made[newVersion], text, 0o700); err != nil {
		t.Fatal(err)
	}
	for version, path := range made {
		out, err := exec.CommandContext(t.Context(), path, "version").Output()
		if err != nil || !bytes.Contains(out, []byte(version)) {
			t.Fatalf("the program of version %s says %q, %v", version, out, err)
		}
	}
	return made
}

const (
	clockBefore = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	clockAfter  = clockBefore + "\tsec, nsec = skewed(sec, nsec)\n"
)

// clockSkew joins package time. The monotonic clock stays as it is, as on a
// machine whose clock is wrong.
const clockSkew = `package time

import "syscall"

var skew = readSkew()

func readSkew() int64 {
	text, found := syscall.Getenv("` + skewVariable + `")
	if !found {
		return 0
	}
	d, err := ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return int64(d)
}

func skewed(sec int64, nsec int32) (int64, int32) {
	if skew == 0 {
		return sec, nsec
	}
	all := sec*1e9 + int64(nsec) + skew
	return all / 1e9, int32(all % 1e9)
}
`

// otherClock writes an overlay of the standard library whose time.Now is wrong
// by what the environment says: the kernel has no clock per process, and a
// static Go program asks nobody else.
func otherClock(t *testing.T) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), clockBefore) != 1 {
		t.Fatalf("%s/time.go has another Now than the one that can be changed here; look at it and adapt clockBefore", source)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range map[string]string{"time.go": strings.Replace(string(text), clockBefore, clockAfter, 1), "skew.go": clockSkew} {
		replace[filepath.Join(source, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
