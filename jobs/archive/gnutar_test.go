package archive_test

import (
	"os/exec"
	"path/filepath"

	"github.com/ghosteam/upkeep/storage/object"
)

// unpack returns a directory with what zstd and GNU tar make of an artifact in
// the store b.path("store").
func (b *bench) unpack(a *object.Artifact, options ...string) string {
	b.t.Helper()
	dir := b.t.TempDir()
	part, _ := a.Manifest.Stream("archive.tar")
	args := append([]string{"-c", `zstd -dc "$1" | LC_ALL=C.UTF-8 tar -x -p -C "$2" "${@:3}"`, "bash", filepath.Join(b.path("store"), a.Dir(), part.Parts[0].Name), dir}, options...)
	if out, err := exec.CommandContext(b.t.Context(), "bash", args...).CombinedOutput(); err != nil || len(out) > 0 {
		b.t.Fatalf("GNU tar: %v\n%s", err, out)
	}
	return dir
}
