package objecttest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// OnSmallDisk calls test with a directory on a file system of its own that
// holds so many bytes. Without the right to mount, it runs the whole test again
// inside a user namespace, where it may; t is no subtest, therefore.
func OnSmallDisk(t *testing.T, bytes int, test func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("upkeep-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes))
	if err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", dir, err)
			}
		})
		test(dir)
		return
	}
	if os.Getenv("UPKEEP_TEST_NAMESPACE") != "" {
		t.Fatalf("mount a small disk inside a user namespace: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "UPKEEP_TEST_NAMESPACE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("with a small disk in a user namespace: %v\n%s", err, out)
	}
}
